"""A reader, and the sites it reads."""

from tests.tools.web.conftest import hub, one_hub, other_site, reader, site, sites

__all__ = ["hub", "one_hub", "other_site", "reader", "site", "sites"]
