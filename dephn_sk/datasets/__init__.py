"""Data sets for several tasks: public logs, and made ones."""

from ._ali_ccp import load_ali_ccp
from ._behavior_log import make_behavior_log
from ._census_income import fetch_census_income, load_census_income
from ._criteo import load_criteo
from ._drugs import load_drugs
from ._kuairand import load_kuairand
from ._myocardial import load_myocardial
from ._oulad import load_oulad
from ._related_tasks import make_related_tasks
from ._wechat2021 import load_wechat2021

__all__ = [
    "fetch_census_income",
    "load_ali_ccp",
    "load_census_income",
    "load_criteo",
    "load_drugs",
    "load_kuairand",
    "load_myocardial",
    "load_oulad",
    "load_wechat2021",
    "make_behavior_log",
    "make_related_tasks",
]
