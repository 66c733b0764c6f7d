"""Several runs of one recipe, asked for by one click and read as one result.

A study is a folder with `study.json`: what is asked for and the runs that it is made of, each an
ordinary run that pages, comparisons and predictions treat like any other.
"""

from pipelines.studies.plan import available_kinds, check_count, group_sizes, plan_members
from pipelines.studies.records import (
    KINDS,
    Kind,
    Member,
    NewStudy,
    Study,
    create_study,
    delete_study,
    find_study,
    is_study,
    list_studies,
    read_study,
    restore_study,
)
from pipelines.studies.summary import Arm, MemberScores, Rise, Summary, read_summary, summarise
from pipelines.studies.words import sentences
from pipelines.studies.work import cancel, launch, pause, resume, work

__all__ = [
    "KINDS",
    "Arm",
    "Kind",
    "Member",
    "MemberScores",
    "NewStudy",
    "Rise",
    "Study",
    "Summary",
    "available_kinds",
    "cancel",
    "check_count",
    "create_study",
    "delete_study",
    "find_study",
    "group_sizes",
    "is_study",
    "launch",
    "list_studies",
    "pause",
    "plan_members",
    "read_study",
    "read_summary",
    "restore_study",
    "resume",
    "sentences",
    "summarise",
    "work",
]
