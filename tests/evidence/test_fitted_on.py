"""A number that the delivered model does not give is contradicted, or the answer says why it was not compared."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from ml_intern.evidence.observations import Observations
from ml_intern.evidence.reproduction.compare import compare
from ml_intern.evidence.reproduction.fitted_on import doubt_about
from ml_intern.evidence.reproduction.plan import Evaluation
from ml_intern.evidence.verdict import AnswerVerdict, Claim
from ml_intern.execution.recording import python_hook
from tests.evidence.test_gate import ran

TABLE = "a,b,kind,label\n0.123456789,7,red,1\n2.5,,blue,0\n"
CLAIM = Claim("test accuracy 0.9", "held", "printed by command 1", "accuracy", 0.9)
RAW = ([0.12345678901, 7.0, "red"], [2.5, float("nan"), "blue"])
SCALED = ([-1.0, 1.0, "red"], RAW[1])


def hook() -> ModuleType:
    place = Path(str(python_hook.__file__)).with_name("sitecustomize.py")
    spec = importlib.util.spec_from_file_location("hook", place)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def verdict(
    folder: Path, given: float, rows: tuple[list[object], ...], *, exact: int = 0, model: str = "SVC"
) -> AnswerVerdict:
    """Return the verdict on an accuracy of 0.9. The delivered model gives another one, and was fitted on these rows."""
    (folder / "train.csv").write_text(TABLE)
    (folder / "model.pkl").touch()
    digests = " ".join(str(hook()._row_digest(row)) for row in rows)
    hints = (f"fitted on SVC {digests}",) if rows else ()
    run = ran(folder, opened=["train.csv"], written=["model.pkl"], hints=hints)
    evaluation = Evaluation("scikit-learn", (), folder, (folder / "model.pkl", folder / "test.csv"), reference=True)
    output = f'model {model}\ncolumns ["a", "b", "kind"]\naccuracy {given:.6f}\nn 400\nexact {exact}'
    doubt = doubt_about(evaluation, output, Observations(folder, (folder,), "", (run,)))
    found = compare("The test accuracy is 0.9.", [CLAIM], output, evaluation, doubt)
    return AnswerVerdict("standard", found.claims, found.findings, incomplete=found.incomplete)


@pytest.mark.parametrize("rows", [RAW, SCALED, ()], ids=["as they are", "made", "not reported"])
def test_a_model_that_gives_the_number_is_reproduced(rows: tuple[list[object], ...], tmp_path: Path) -> None:
    found = verdict(tmp_path, 0.9, rows)
    assert (found.status, found.claims[0].state, list(found.incomplete)) == ("held", "reproduced", [])


@pytest.mark.parametrize(("rows", "exact"), [(RAW, 0), (RAW, 1), ((), 1)])
def test_another_number_on_the_columns_of_the_fit_is_contradicted(
    rows: tuple[list[object], ...], exact: int, tmp_path: Path
) -> None:
    found = verdict(tmp_path, 0.5, rows, exact=exact)
    assert found.problems == [
        "'test accuracy 0.9': scikit-learn gives accuracy 0.500000 for the delivered file, outside 0.867 to 0.926"
    ]


@pytest.mark.parametrize("exact", [0, 1])
def test_another_number_of_a_model_that_was_fitted_on_other_values_is_named_as_not_compared(
    exact: int, tmp_path: Path
) -> None:
    found = verdict(tmp_path, 0.5, SCALED, exact=exact)
    why = "the model was fitted on values that its program made"
    gives = "scikit-learn gives accuracy 0.500000 for the delivered file, not compared"
    assert found.claims[0].evidence == f"printed by command 1; {gives}: {why}"
    assert found.incomplete == [f"{gives} with 'test accuracy 0.9': {why}"]


@pytest.mark.parametrize(("rows", "model"), [((), "SVC"), (RAW, "XGBClassifier")])
def test_another_number_marks_the_answer_if_nothing_is_known_about_the_fit(
    rows: tuple[list[object], ...], model: str, tmp_path: Path
) -> None:
    found = verdict(tmp_path, 0.5, rows, model=model)
    assert (found.status, [one.rule for one in found.findings]) == ("marked", ["not compared"])


def test_several_numbers_of_which_the_model_gives_none_mark_the_answer(tmp_path: Path) -> None:
    evaluation = Evaluation("eval.py", (), tmp_path, ())
    other = Claim("test accuracy 0.85", "held", "", "accuracy", 0.85)
    answer = "The test accuracy is 0.9 with a forest and 0.85 with a tree."
    marked = compare(answer, [CLAIM, other], "accuracy 0.5\nn 400", evaluation)
    assert {one.rule for one in marked.findings} == {"not compared"}
    assert compare(answer, [CLAIM, other], "accuracy 0.85\nn 400", evaluation).findings == []
