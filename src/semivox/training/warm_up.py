"""The beginning that the common recipe gives every method: labels alone, with whole batches of them.

Unlabelled crops teach what the networks already half know; before that they only cost time. So where labelled
and unlabelled crops are learned from side by side, a share of the run comes first in which every network
learns as ``supervised`` does. A labelled-only beginning of the method's own counts towards it, and says which
crops there are and how they move the networks; the learning rate falls on one schedule through both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from semivox.batches import Stream
from semivox.methods import Facts, Method, Player, Stage
from semivox.networks import Segmenter

NAME = "warm_up"


def warmed_up(method: Method, stages: Sequence[Stage], facts: Facts) -> list[Stage]:
    """``stages`` behind a warm-up such that ``facts.warm_up`` of the run passes before the first stage that
    learns from both kinds of crops; as they are where none does, or where the method takes as long itself.
    """
    stages = list(stages)
    joint = next((i for i, stage in enumerate(stages) if _draws_unlabeled(stage)), None)
    if joint is None or not any(stream.target for stream in stages[joint].streams.values()):
        return stages  # labels alone all through, or a pretraining that has no labels
    total = sum(stage.share for stage in stages)
    own = sum(stage.share for stage in stages[:joint]) / total
    players = _networks(method, stages[joint].players)
    if own >= facts.warm_up or not players:
        return stages
    share = (facts.warm_up - own) / (1 - own)
    moved = {player.name: player.optimizer for player in stages[0].players}
    learning = tuple(replace(p, optimizer=moved.get(p.name, p.optimizer)) for p in stages[joint].players)
    first = Stage(NAME, stages[0].streams, learning, stages[joint].pairs, share)
    first = labels_alone(method, first, facts.alone, stages)
    rest = [replace(stage, share=stage.share / total * (1 - share)) for stage in stages]
    return [first, replace(rest[0], continues=True), *rest[1:]]


def labels_alone(method: Method, stage: Stage, crops: int, stages: Sequence[Stage]) -> Stage:
    """``stage`` as ``supervised`` would train it: its networks alone, on ``crops`` labelled crops a step, as
    the method draws them where it learns from labels alone itself (the first such of its ``stages``)."""
    drawn = next((each for each in stages if _labels_only(each)), stage)
    players = _networks(method, stage.players)
    learning = {name for player in players for name in player.modules}
    return replace(
        stage,
        streams=_labeled_streams(drawn, crops),
        players=players,
        pairs=tuple(pair for pair in stage.pairs if pair.student in learning),
        step="warm_up",
    )


def _draws_unlabeled(stage: Stage) -> bool:
    return any(stream.cases != "labeled" for stream in stage.streams.values())


def _labels_only(stage: Stage) -> bool:
    streams = stage.streams.values()
    return bool(streams) and all(s.cases == "labeled" and s.target == "label" for s in streams)


def _networks(method: Method, players: Sequence[Player]) -> tuple[Player, ...]:
    """The players with their segmentation networks alone."""
    only = [
        replace(p, modules=tuple(n for n in p.modules if isinstance(getattr(method, n), Segmenter)))
        for p in players
    ]
    return tuple(player for player in only if player.modules)


def _labeled_streams(stage: Stage, size: int) -> Mapping[str, Stream]:
    """The stage's labelled streams, grown to ``size`` crops a step in all."""
    own = {n: s for n, s in stage.streams.items() if s.cases == "labeled" and s.target == "label"}
    own = own or {"labeled": Stream("labeled", size=size, target="label", where="foreground")}
    each = max(1, size // len(own))
    return {
        name: replace(stream, size=each, views=("weak",), sdm=False, where="foreground")
        for name, stream in own.items()
    }
