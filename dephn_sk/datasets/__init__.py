"""Data sets for several tasks: public logs, and a simulated one."""

from ._behavior_log import make_behavior_log
from ._census_income import fetch_census_income, load_census_income
from ._kuairand import load_kuairand
from ._oulad import load_oulad

__all__ = [
    "fetch_census_income",
    "load_census_income",
    "load_kuairand",
    "load_oulad",
    "make_behavior_log",
]
