"""A run in phases: :func:`carry_out` is all of it, in the order of events.

Of several processes each goes through all phases with a :class:`Run` of its own; what only the first one
does goes through :meth:`Run.write`, which does nothing in the others.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch

from semivox.batches import Batches, PseudoLabels, region_table
from semivox.batches.source import BatchSource
from semivox.cohort import load_cohort, split_cohort
from semivox.devices import CPU
from semivox.duration import show_duration
from semivox.errors import Stopped
from semivox.files import sync
from semivox.inference import export_model, training_ranges, undertrained
from semivox.machine import freed_memory_kept
from semivox.methods import Facts, Method, Stage
from semivox.networks import Segmenter
from semivox.prepare import Plan, Store, plan_from_json, plan_to_json, write_plan
from semivox.randomness import Key
from semivox.runs.asked import chosen, facts_of, refuse_taken, settings_of, supervised_after_all
from semivox.runs.beginnings import KEPT, begin, begins_with, parent_run
from semivox.runs.faults import disk_stops, last_words, memory_told, refuse_before_preparing, refuse_stages
from semivox.runs.flips import without_exchanges
from semivox.runs.live_report import LiveReport
from semivox.runs.prepare import planned, stored
from semivox.runs.records import announce, announce_labels, copy_source, record_cases, record_environment
from semivox.runs.result import TrainResult
from semivox.runs.room import refuse_no_room
from semivox.runs.watch import Watch
from semivox.settings import as_dict
from semivox.stopping import StopSignals
from semivox.training import checkpoints
from semivox.training.compiling import still_compiled
from semivox.training.config import Config, predictor_of, write_config
from semivox.training.display import Display, Silent
from semivox.training.journal import Journal
from semivox.training.launch import launch
from semivox.training.loop import Progress, fit
from semivox.training.measured_settings import Make, labellers, measure_settings
from semivox.training.memory import PeakMemory
from semivox.training.options import TrainOptions, as_json
from semivox.training.processes import Processes, is_asked, launched, rank_here, together
from semivox.training.pseudo_label_bank import PseudoLabelBank
from semivox.training.remote_display import heard
from semivox.training.run_folder import RunFolder
from semivox.training.sinks import Sinks, open_sinks
from semivox.training.stages import stage_begins, stages_of
from semivox.training.warm_up import labels_alone

OTHERS = "semivox.runs.process"
"""What the other processes of a run on several devices are."""
P = ParamSpec("P")
T = TypeVar("T")
Write = Callable[[Path], object]


def no_page(run: Path) -> None:
    """Writes no report."""


def carry_out(asked: TrainOptions, page: Write = no_page, began: float | None = None) -> TrainResult:
    """The run that was ``asked`` for, from the data folder to the model: here, or by several processes.
    ``page``, a function of a module, writes its report; ``began``: when the command did (time.monotonic).

    Raises DataError or SettingsError before anything is trained, Stopped after a signal (saved, resumable),
    TrainingFailed when training cannot go on.
    """
    run = Run(asked, page, time.monotonic() if began is None else began)
    where = run.config.run
    if where.devices > 1 and where.nodes == 1 and not launched():
        with heard(asked.display) as display:
            how = {"page": f"{page.__module__}:{page.__qualname__}", "began": run.began, "display": display}
            request = {"asked": as_json(asked.given()), **how}
            done = launch(where.devices, OTHERS, request, asked.folder)
        return TrainResult(**{**done, "run": asked.folder})
    with run.opened():
        run.prepare()
        run.settle()
        run.train()
        result = run.export()
    run.display.say(f"done: {result.steps} steps in {show_duration(result.seconds)}")
    run.display.say(shlex.join(["next:", "semivox", "predict", str(asked.folder), "SCANS", "--out", "MASKS"]))
    return result


class Run:
    """One run; its phases are called in their order, once each. While it trains it is told what happens, as
    :class:`semivox.training.loop.Events` says."""

    processes: Processes
    folder: RunFolder
    device: torch.device
    plan: Plan
    store: Store
    bank: PseudoLabelBank
    steps: int
    sinks: Sinks
    journal_file: Journal
    signals: StopSignals

    # ---- the phases

    def __init__(self, asked: TrainOptions, page: Write, began: float) -> None:
        """With its settings, new or read back."""
        self.began = began
        self.asked = asked
        self.display: Display = asked.display if asked.display and rank_here() == 0 else Silent()
        told = self.display if is_asked() else Silent()
        refuse_taken(asked)
        self.cohort = load_cohort(Path(asked.data), asked.labeled)
        self.config, self.method_class = settings_of(asked, self.cohort)
        self.split = split_cohort(self.cohort, self.config.run.labeled)
        given = self.method_class, self.cohort, self.split, told
        self.began += refuse_before_preparing(asked, self.config, *given)
        self.parent = parent_run(asked, self.config.run, self.cohort, self.split)
        self.live = LiveReport(asked.folder, self.display, page)
        self.watcher: Watch | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """In its folder, its processes joined."""
        where = self.config.run
        with (
            together(where.devices, where.nodes) as self.processes,
            RunFolder(self.asked.folder, self.processes.first) as self.folder,
            disk_stops(self.folder, lambda: self.asked.resume_command(self.config)),
            freed_memory_kept(),
        ):
            self.folder.status("preparing", 0)
            self.processes.same(
                [self.asked.goes_on, as_dict(self.config)],
                "the processes of this run were asked for different things",
                "give each the same command line; all see the same run folder",
            )
            torch.set_num_threads(where.threads or self.processes.threads)
            self.device = self.processes.device(where.device)
            yield

    def prepare(self) -> None:
        """Plan and prepared scans, and which they are."""
        if self.processes.first:
            self.plan = planned(self.asked, self.config, self.cohort, self.split, self.display)
            refuse_stages(self.config, self.method_class, self.plan, self.split)
            given = self.config.run, self.plan, self.cohort, self.split, self.display
            self.parent = begins_with(self.asked, self.parent, *given)
            self.store = stored(self.asked, self.cohort, self.split, self.plan, self.display)
        self.write(record_cases, self._path("cases.json"), self.cohort, self.split, self.parent)
        told = self.processes.agree(plan_to_json(self.plan) if self.processes.first else {})
        if not self.processes.first:  # all is prepared now, or on another machine's disk
            self.plan = plan_from_json(told)
            self.store = stored(self.asked, self.cohort, self.split, self.plan, self.display)
        if short := chosen(self.asked, self.config, self.plan, self.cohort, self.display):
            self.config, self.method_class = short
        self.config = without_exchanges(self.config, self.store, self.plan, self.display)
        where = self._path("pseudo_labels"), self.store, self.plan, Key(self.config.run.seed)
        self.bank = PseudoLabelBank(*where, self.processes, self.config.augmentation.mirror_axes)

    def settle(self) -> None:
        """Precision, compiling and the number of steps, measured once; a run that goes on has them."""
        seconds = self.config.run.budget if self.config.run.steps is None else None
        if not self.asked.goes_on:
            self.write(self.bank.clear)
            self.processes.wait()
            how = self.maker, self.batches, self.bank, self.device, self.began, self.display, self.processes
            self.config = measure_settings(self.config, *how)
            if short := supervised_after_all(self.asked, self.config, self.plan, self.cohort, self.display):
                self.config, self.method_class = short
                self.config = without_exchanges(self.config, self.store, self.plan, Silent())
                self.config = measure_settings(self.config, *how)
            self.write(write_plan, self.plan, self._path("plan.json"))
            self.write(copy_source, self.config.run.method, self._path("source"))
            self.write(write_config, self._path("config.yaml"), self.config)
        assert self.config.run.steps is not None
        self.steps = self.config.run.steps
        made_by = self._path("environment.json"), self.config, self.method_class, self.device
        self.write(record_environment, *made_by, self.display, self.processes)
        self.undertrained = undertrained(self.steps, self.parent)
        trained_on = self.plan, self.store, self.split
        announce(self.config, *trained_on, self.display, self.processes, seconds, self.undertrained)

    def train(self) -> None:
        """Every step that is left, from the checkpoint where there is one."""
        if self.asked.watch:
            how = self.config.run.watch_cases, self.display.say
            self.watcher = self.write(Watch, Path(self.asked.watch), self.plan, self.cohort, *how)
        self.memory = PeakMemory(self.device)
        make = self.maker(self.config)
        facts, self.method = make(self.steps, self.config.run.precision)
        self.stages = stages_of(self.method, facts)
        self.begins = stage_begins(self.stages, self.steps)
        self.write(refuse_no_room, self.folder.path, self.method, self.stages, self.config, self.store)
        progress = self._restored()
        self._ready_to_tell(progress.step)
        with StopSignals() as self.signals, self.sinks:
            self.folder.status("training", progress.step)
            with last_words(self.signals), memory_told():
                progress = fit(
                    self.method,
                    facts,
                    self.batches_of,
                    optimizer=self.config.optimizer,
                    rebuild=lambda: make(self.steps, self.config.run.precision)[1],
                    paper_steps=self.config.method.paper_steps,
                    log_every=self.config.run.log_every,
                    shares_every=self.config.run.shares_every,
                    device=self.device,
                    hooks=self,
                    progress=progress,
                    processes=self.processes,
                    compiled=still_compiled(self.config.run.compile, self.processes, self.display),
                )
        if progress.step < self.steps or self.signals():
            self.folder.status("stopped", progress.step)
            self.write(self.live.refresh, True)
            self.processes.wait()  # a launcher ends all when one has ended
            raise self._stopped(progress.step)
        self.seconds, self.peak = self.elapsed(), self.memory.gib()

    def export(self) -> TrainResult:
        """The model, from the weights after the last step."""
        run = self.config.run
        self.write(
            export_model,
            self.asked.folder,
            {name: m for name, m in self.method.named_children() if isinstance(m, Segmenter)},
            predictor_of(self.method, self.config),
            self.plan,
            self.cohort,
            method=run.method,
            steps=self.steps,
            seed=run.seed,
            training=self.write(training_ranges, self.cohort, self.split),
            mirror_axes=self.config.augmentation.mirror_axes,
            parent=self.parent,
        )
        self.write(self._done)
        return TrainResult(self.asked.folder, run.method, self.steps, self.seconds, self.undertrained)

    def _done(self) -> None:
        self.folder.status("done", self.steps, seconds=self.seconds, peak_memory_gib=self.peak)
        self.live.refresh(True)

    # ---- what the loop tells and asks

    def relabel(self, index: int, stage: Stage, method: Method) -> None:
        """Label the unlabelled scans anew, for a stage that begins so."""
        assert stage.relabel is not None
        step = self.begins[index]

        def labelled(done: int, total: int) -> None:
            self.folder.beat(step)
            self.display.work(f"label for {stage.name}", done, total)
            if self.processes.any(self.signals()):
                raise self._stopped(step)

        networks = labellers(method, stage.relabel, self.config)
        record = self.bank.relabel(stage.name, index, stage.relabel, networks, labelled)
        self.journal({"kind": "relabel", "step": step, "stage": stage.name, **record})
        announce_labels(record, stage.name, self.config.run.guard, self.display)

    def admitted(self, index: int, stage: Stage, method: Method) -> Stage:
        """The stage itself; without unlabelled scans where its pseudo-labels were refused."""
        if stage.relabel is None or not self.config.run.guard or not self.bank.refused(index):
            return stage
        return labels_alone(method, stage, sum(self.plan.batch), self.stages)

    def journal(self, record: dict[str, Any]) -> None:
        """A line of ``metrics.jsonl``, and of what listens to it."""
        self.write(self.journal_file.write, {**record, "elapsed": self.elapsed()})

    def progress(self, step: int, record: dict[str, Any]) -> None:
        """A step was taken."""
        self.folder.beat(step)
        self.display.step(step, self.steps, record)

    def watch(self, step: int, method: Method) -> None:
        """Measure the cases that are watched, if it is time."""
        if not self.watched or (step % self.watch_every and step != self.steps):
            return
        if self.watcher is not None:
            seconds = self.elapsed()
            dice = self.watcher.measure([getattr(method, role) for role in predictor_of(method, self.config)])
            self.journal_file.write({"kind": "watch", "step": step - 1, "dice": dice, "elapsed": seconds})
            self.display.watched(step, seconds, dice)
        self.processes.wait()

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        """Save, if it is time or the run is to stop."""
        self.stopping = step % self.ask_every == 0 and self.processes.any(self.signals())
        due = time.monotonic() - self.saved_at >= self.config.run.checkpoint_seconds
        # saved before labelling too, so that a run killed there has lost no step
        if due or step == self.steps or step in self.labelled_at or self.stopping:
            self.write(self._save, state)

    def stop(self) -> bool:
        """Whether the loop is to end here."""
        return self.stopping

    # ---- what the phases are made of

    def write(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """``act(...)`` in the first process; in the others nothing happens."""
        return act(*args, **kwargs) if self.processes.first else None

    def maker(self, config: Config) -> Make:
        """What builds the method under these settings, its weights a function of the seed alone."""

        def make(steps: int, precision: str) -> tuple[Facts, Method]:
            facts = facts_of(config, self.plan, self.split, steps, precision)
            method = self.method_class(facts, config.method)
            begin(method, config.run, self.plan, self._path(KEPT) if self.asked.goes_on else None)
            return facts, method.to(self.device)

        return make

    def batches(self, stage: Stage, pseudo: PseudoLabels | None) -> Batches:
        """The batches of a stage, this process's rows of them."""
        return Batches(
            self.store,
            stage.streams,
            self.plan.patch,
            Key(self.config.run.seed),
            stage.name,
            self.config.augmentation,
            sdm_limit=self.config.distance.limit,
            sdm_form=self.config.distance.form,
            shard=self.processes.place,
            pseudo=pseudo,
            regions=region_table(self.plan),
            device=self.device if self.device.type == "cuda" else CPU,
        )

    def batches_of(self, stage: Stage) -> BatchSource:
        """The same with the pseudo-labels that the stage sees, where the method has any."""
        place = [each.name for each in self.stages].index(stage.name)
        return self.batches(stage, self.bank.view(place) if self.labelled_at else None)

    def elapsed(self) -> float:
        """Seconds of the run so far, watching excluded."""
        return time.monotonic() - self.began - (self.watcher.seconds if self.watcher else 0.0)

    def _path(self, name: str) -> Path:
        return self.asked.folder / name

    def _restored(self) -> Progress:
        """Where the checkpoint left off, the method's weights put back; the beginning where there is none."""
        progress = Progress()
        state, reports = checkpoints.load(self.folder.checkpoints)
        for line in reports:
            self.display.say(line)
        if state is not None:
            with checkpoints.fitting(self.folder.checkpoints):
                self.method.load_state_dict(state["method"])
                progress = Progress(int(state["step"]), dict(state["optimizers"]), dict(state["ends"]))
                self.began -= float(state["seconds"])
        self.processes.same(
            progress.step,
            "the processes found different checkpoints",
            "put the run folder on a disk that all machines see, at the same path",
        )
        return progress

    def _ready_to_tell(self, step: int) -> None:
        """The journal and what else is told, from ``step`` on."""
        run, processes = self.config.run, self.processes
        self.sinks = self.write(open_sinks, self.asked.folder, self.config, step, self.display.say) or Sinks()
        self.journal_file = Journal(self.folder.journal, (self.sinks.write,))
        self.write(self.journal_file.cut_back, step)
        self.labelled_at = {
            begin for begin, stage in zip(self.begins, self.stages, strict=True) if stage.relabel is not None
        }
        self.watch_every = max(1, round(self.steps * run.watch_share))
        self.watched = processes.agree(self.watcher is not None)
        # processes that drive GPUs ask each other only where they wait for them anyway
        self.ask_every = run.log_every if processes.ranks > 1 and self.device.type == "cuda" else 1
        self.saved_at, self.stopping = time.monotonic(), False

    def _save(self, state: Callable[[], dict[str, Any]]) -> None:
        sync(self.folder.journal)  # a run that goes on from here keeps the lines of its steps
        checkpoints.save(self.folder.checkpoints, {**state(), "seconds": self.elapsed()})
        self.saved_at = time.monotonic()
        self.live.refresh(False)

    def _stopped(self, step: int) -> Stopped:
        return Stopped(
            f"stopped by {self.signals.name or 'a signal to another process'} after step {step} of "
            f"{self.steps}; everything is saved",
            remedy=f"go on with: {self.asked.resume_command(self.config)}",
        )
