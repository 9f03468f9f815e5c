"""The policies by name."""

from collections.abc import Mapping
from typing import Final

from ml_intern.search.plan import PolicyName
from ml_intern.search.policies.branching import Branching
from ml_intern.search.policies.greedy import Greedy
from ml_intern.search.policies.policy import SearchPolicy
from ml_intern.search.policies.population import Population

POLICIES: Final[Mapping[PolicyName, SearchPolicy]] = {
    "greedy": Greedy(),
    "tree": Branching(),
    "population": Population(),
}
