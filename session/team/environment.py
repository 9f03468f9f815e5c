"""The environment of the process that runs a user's thread: the user's own keys, and no secrets of the operator.

Keys for models are the exception: those of the operator are used where the user has none, within the budgets.
"""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ml_intern.configs.env import MODEL_KEYS, OWN_KEYS
from ml_intern.configs.paths import DATABASE_VARIABLE
from ml_intern.safety.secrets.known import is_secret_name
from ml_intern.session.team.sealing import VARIABLE as SECRET_VARIABLE
from ml_intern.session.team.sealing import unseal

if TYPE_CHECKING:
    from ml_intern.store.store import Store

OF_SERVER: Final = (SECRET_VARIABLE, "ML_INTERN_SERVER_TOKEN", "ML_INTERN_LOGIN_SECRET", "OAUTH_CLIENT_SECRET")


async def adopt_owners_keys(store: "Store", thread_id: str) -> None:
    """Change the environment of this process to that of a thread's owner. Raises ConfigurationError."""
    owner = await store.sharing.owner(thread_id)
    keys = unseal(owner, await store.user_keys.sealed(owner)) if owner else {}
    for name in OF_SERVER:
        os.environ.pop(name, None)
    if owner:
        for name in withheld(os.environ):
            del os.environ[name]
        os.environ.update(keys)
        os.environ[OWN_KEYS] = ",".join(keys)


def withheld(environ: Iterable[str]) -> list[str]:
    """Return the variables that the process of a user's thread does not get."""
    kept = MODEL_KEYS | {DATABASE_VARIABLE}
    return [name for name in environ if is_secret_name(name) and name not in kept]
