"""The PostgreSQL database that has the threads instead of a file, if the environment names one."""

import os
from typing import Final

DATABASE_VARIABLE: Final = "ML_INTERN_DATABASE"


def database_url() -> str:
    """Return the address of the database, postgresql://USER:PASSWORD@HOST/NAME; "" for the file in the data home."""
    return os.environ.get(DATABASE_VARIABLE, "")
