"""A metric that is printed under another metric's name is found; usual labels are left alone."""

import pytest

from ml_intern.evidence.checks.parsing import nodes_of
from ml_intern.evidence.code.syntax.labels import best_folds, renamed_metrics


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("print(f'precision: {recall_score(y, p):.4f}')", ["precision"]),
        ("print(f'precision: {precision_score(y, p):.4f}')", []),
        ("print('recall', round(metrics.precision_score(y, p), 4))", ["recall"]),
        ("r = f1_score(y, p, average='macro')\nprint('AUC =', r)", ["auc"]),
        ("json.dump({'auc': accuracy_score(y, p)}, f)", ["auc"]),
        ("json.dump({'auc': roc_auc_score(y, s), 'accuracy': accuracy_score(y, p)}, f)", []),
        ("print('balanced_accuracy', np.round(np.mean(p == te.y), 4))", ["balanced accuracy"]),
        ("print('balanced_accuracy', accuracy_score(y, p))", ["balanced accuracy"]),
        ("print('accuracy', top_k_accuracy_score(y, s, k=5))", ["accuracy"]),
        ("print('top-5 accuracy', top_k_accuracy_score(y, s, k=5))", []),
        ("print('acc@5', top_k_accuracy_score(y, s, k=5))", []),
        ("print('accuracy', 100 * (p == y).mean())", []),
        ("print('precision', (y[p == 1] == 1).mean())", []),
        ("print('mae', np.median(abs(y - p)))", ["mae"]),
        ("print('mae', np.mean(np.abs(y - p)))", []),
        ("print('rmse', np.mean((y - p) ** 2))", ["rmse"]),
        ("print('rmse', np.sqrt(np.mean((y - p) ** 2)))", []),
        ("print('rmse', mean_squared_error(y, p, squared=False))", []),
        ("print('rmse', mean_squared_error(y, p) ** 0.5)", []),
        ("print('specificity', recall_score(y, p, pos_label=0))", []),
        ("print('micro precision', precision_score(y, p, average='micro'))", []),
        ("print('F1 and recall', recall_score(y, p))", []),
        ("for name, score in scores:\n    print(name, score(y, p))", []),
    ],
)
def test_the_name_of_a_metric_is_what_is_computed(code: str, found: list[str]) -> None:
    assert [one.metric for one in renamed_metrics(nodes_of(code))] == found


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("s = cross_val_score(m, x, y)\nprint('accuracy', s.max())", [2]),
        ("s = cross_val_score(m, x, y)\nprint('accuracy', max(s))", [2]),
        ("s = cross_val_score(m, x, y)\nprint('accuracy', s.mean())", []),
        ("s = cross_val_score(m, x, y)\nprint('accuracy', s.mean(), 'best', s.max())", []),
        ("s = losses()\nprint('accuracy', s.max())", []),
        ("s = cross_val_score(m, x, y)\nprint(np.mean(sorted(s)[2:]))", [2]),
        ("s = cross_val_score(m, x, y)\nprint(np.mean(np.sort(s)))", []),
    ],
)
def test_the_best_fold_is_not_the_mean(code: str, lines: list[int]) -> None:
    assert list(best_folds(nodes_of(code))) == lines
