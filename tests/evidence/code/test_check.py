"""The rules on scripts: what they state, and when they say nothing."""

from ml_intern.evidence.code.check import MAX_SOURCE, check_code, read_code

HEAD = """import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
def load(path):
    d = np.genfromtxt(path, delimiter=",", skip_header=1)
    return d[:, :-1], d[:, -1]
X1, y1 = load("train.csv"); X2, y2 = load("test.csv")
"""
FALLBACK = """import numpy as np
try:
    w = np.load("weights.npy")
except OSError:
    w = np.random.default_rng(0).normal(size=6)
print(w)
"""


def test_a_finding_names_rule_file_and_line() -> None:
    source = HEAD + "m = LogisticRegression().fit(np.vstack([X1, X2]), y1)\nprint(accuracy_score(y2, m.predict(X2)))\n"
    (found,) = check_code(source, "train.py")
    assert (found.rule, found.path, found.line, found.level) == ("test-rows-in-fit", "train.py", 8, "contradiction")
    assert found.text == (
        "train.py:8: LogisticRegression is fitted on rows of the test split (fit at line 8, evaluated at line 9)"
        " [test-rows-in-fit]"
    )


def test_a_substitution_is_reported_only_when_its_handler_ran() -> None:
    assert check_code(FALLBACK, "evaluate.py") == []
    assert check_code(FALLBACK, "evaluate.py", handled={3}) == []
    (found,) = check_code(FALLBACK, "evaluate.py", handled={5})
    assert found.message == "after an exception, w comes from normal instead of load"


def test_a_final_fit_on_all_rows_after_the_evaluation_is_fine() -> None:
    source = HEAD + (
        "m = LogisticRegression().fit(X1, y1)\nprint(accuracy_score(y2, m.predict(X2)))\n"
        "m = LogisticRegression().fit(np.vstack([X1, X2]), np.concatenate([y1, y2]))\n"
    )
    assert check_code(source, "train.py") == []


def test_the_facts_count_evaluations_on_test_rows_and_name_the_models() -> None:
    source = HEAD + (
        "for c in range(5):\n    m = LogisticRegression(C=1 + c).fit(X1, y1)\n"
        "    print(c, accuracy_score(y2, m.predict(X2)))\n"
    )
    facts = read_code(source, "train.py")
    assert facts.test_tries == 5
    assert list(facts.models) == ["LogisticRegression"]
    assert [one.roles for one in facts.metrics] == [frozenset({"test"})]


def test_what_cannot_be_analysed_is_named() -> None:
    assert read_code("x = 1\n" * MAX_SOURCE, "a.py").not_analysed == "larger than 200 kB"
    assert read_code("def f(:\n", "a.py").not_analysed.startswith("not valid Python")
    assert read_code("x = " + "-" * 5000 + "1", "a.py").not_analysed
    assert read_code("\0", "a.py").not_analysed.startswith("not valid Python")


def test_odd_code_is_followed_without_an_error() -> None:
    loops = "".join(f"{' ' * depth}for i{depth} in range({10**30}):\n" for depth in range(8))
    odd = (
        f"s = 'x'\n{loops}{' ' * 8}s += s\n"
        "a, *b = f()\n(c, d), e = 1, 2\nx[...] = 1\nx[1:2, ::-1] = y\nrange()\n'%s %d' % (1,)\n'{} {x}'.format(1)\n"
        "lambda *a, k=1, **kw: a\n{**a, 'b': 1}\nprint(*a, sep='')\nwith open(p) as (q, r): pass\n"
        "max()\nnext(iter([]))\n"
        "train_test_split()\nX.fit()\nfit(1)\nKFold().split()\ncross_val_score()\nd[a][b]['c'].append(1)\n"
        "enumerate()\nzip()\n"
        "class A:\n    def __init__(self): self.a = self.b()\n    def b(self): return self.b()\nA().c.d(1)\n"
    )
    assert read_code(odd, "a.py").not_analysed == ""


def test_many_paths_end_the_analysis() -> None:
    """Calls that double at each level would otherwise take minutes."""
    chain = "".join(
        f"def f{n}(x):\n    f{n + 1}(x); f{n + 1}(x); f{n + 1}(x); f{n + 1}(x); f{n + 1}(x); f{n + 1}(x)\n"
        for n in range(12)
    )
    assert read_code(chain + "f0(1)\n", "a.py").not_analysed == "too many paths"
