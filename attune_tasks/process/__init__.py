"""Children and pipes, with no knowledge of any language and of no secret but as bytes to hand on."""

from attune_tasks.process.abandoned import end_abandoned
from attune_tasks.process.cancellation import Cancellation, Lease
from attune_tasks.process.control import MAX_DEPTH, MAX_ERROR_CHARACTERS, Control, Progress, fault_of
from attune_tasks.process.launcher import Launcher
from attune_tasks.process.launcher_start import LauncherSpec, user_entry
from attune_tasks.process.launchers import Launchers, LaunchersPolicy
from attune_tasks.process.live import Batch, LiveSink, Piece
from attune_tasks.process.outcome import Outcome, Supervision
from attune_tasks.process.output import Filtered, OutputFilter
from attune_tasks.process.program import CONTROL_NUMBER, Ahead, Program
from attune_tasks.process.supervisor import run_program

__all__ = [
    "CONTROL_NUMBER",
    "MAX_DEPTH",
    "MAX_ERROR_CHARACTERS",
    "Ahead",
    "Batch",
    "Cancellation",
    "Control",
    "Filtered",
    "Launcher",
    "LauncherSpec",
    "Launchers",
    "LaunchersPolicy",
    "Lease",
    "LiveSink",
    "Outcome",
    "OutputFilter",
    "Piece",
    "Program",
    "Progress",
    "Supervision",
    "end_abandoned",
    "fault_of",
    "run_program",
    "user_entry",
]
