"""A bundle's own training, on data and for as many epochs as it is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.examples import Example, Examples, LoadExampled
from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.info import read_config
from dbx.pixels.ai.loading import QuickArgmax, importable, in_memory
from dbx.pixels.errors import TrainingError

with extra_ai():
    import torch
    from ignite.engine import Engine, Events
    from monai.bundle import ConfigParser

#: Series of which a validation keeps a picture.
MOST_SAMPLES = 3


class Workflow:
    """What ``configs/train.json`` describes: network, losses, transforms and engines are the bundle's.

    Parameters
    ----------
    bundle : pathlib.Path
        The bundle's folder.
    examples : Examples
        What is learned from.
    load : LoadExampled
        Reads them.
    epochs : int, optional
        How often each is seen; as the bundle says by default.
    check : callable
        Called before the network is, again and again; what it raises ends the training.

    Attributes
    ----------
    parameters : dict
        What the configuration says in numbers and words, such as the learning rate.
    samples : list
        Of the last validation: image, label and prediction of some series, on the network's grid.
    """

    def __init__(
        self,
        bundle: Path,
        examples: Examples,
        load: LoadExampled,
        epochs: int | None,
        check: Callable[[], None],
    ) -> None:
        config = in_memory(read_config(bundle, "train"), load)
        config |= {"_meta_": read_config(bundle, "metadata"), "bundle_root": str(bundle)}
        config["train"]["dataset"]["data"] = _items(examples.train)
        config["validate"]["dataset"]["data"] = _items(examples.validate)
        if epochs is not None:
            config["train"]["trainer"]["max_epochs"] = epochs
            if "epochs" in config:  # schedules of the learning rate go by it
                config["epochs"] = epochs
        self._name = bundle.name
        self.parameters = _plain(config)
        self.samples: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        with importable(bundle):
            parser = ConfigParser(config)
            self._trainer = parser.get_parsed_content("train#trainer")
            self._evaluator = parser.get_parsed_content("validate#evaluator")
            handlers = parser.get_parsed_content("train#trainer#train_handlers") or []
        self._schedules = [handler.lr_scheduler for handler in handlers if hasattr(handler, "lr_scheduler")]
        for engine in (self._trainer, self._evaluator):
            engine.amp &= engine.state.device.type == "cuda"  # mixed precision is the GPU's: elsewhere it only warns
        self.network.register_forward_pre_hook(lambda *_: check())
        self._evaluator.add_event_handler(Events.STARTED, self.samples.clear)
        self._evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._keep_samples)

    @property
    def network(self) -> torch.nn.Module:
        """What learns."""
        return self._trainer.network

    @property
    def epochs(self) -> int:
        """How often each example is seen."""
        return self._trainer.state.max_epochs

    def validate(self, epoch: int = 0) -> float:
        """Measure the network as it is: mean Dice over labels and series."""
        with QuickArgmax():
            self._evaluator.run(epoch)
        return self._dice()

    def run(
        self,
        *,
        on_loss: Callable[[int, float], None],
        on_epoch: Callable[[int, float, float | None], None],
    ) -> None:
        """Train until all epochs are done.

        Parameters
        ----------
        on_loss : callable
            Told, after each step, the number of the epoch and its mean loss up to then.
        on_epoch : callable
            Told, after each epoch, its number, its mean loss, and Dice, if that was measured.

        Raises
        ------
        TrainingError
            If the loss is no number.
        """
        if self._trainer.state.epoch >= self.epochs:
            return  # it was interrupted after the last one; ignite would begin with the first one again
        losses: list[float] = []
        measured: list[float] = []

        def after_step(engine: Engine) -> None:
            loss = _loss(engine.state.output)
            if not math.isfinite(loss):
                raise TrainingError(
                    self._name,
                    f"has a loss that is no number ({loss}) in epoch {engine.state.epoch}",
                    "Lower the learning rate in its configs/train.json, and look at the labels.",
                )
            losses.append(loss)
            on_loss(engine.state.epoch, float(np.mean(losses)))

        def after_epoch(engine: Engine) -> None:
            epoch = engine.state.epoch
            if not measured and epoch == engine.state.max_epochs:  # it is not among those that the bundle measures
                self._evaluator.run(epoch)
            on_epoch(epoch, float(np.mean(losses)), measured[0] if measured else None)
            losses.clear()
            measured.clear()

        # Handlers are called in the order in which they came: the bundle's own, by which it validates, before these.
        with (
            QuickArgmax(),
            self._trainer.add_event_handler(Events.ITERATION_COMPLETED, after_step),
            self._trainer.add_event_handler(Events.EPOCH_COMPLETED, after_epoch),
            self._evaluator.add_event_handler(Events.COMPLETED, lambda: measured.append(self._dice())),
        ):
            self._trainer.run()

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on from here."""
        return {
            "model": self.network.state_dict(),
            "optimizer": self._trainer.optimizer.state_dict(),
            "schedules": [schedule.state_dict() for schedule in self._schedules],
            "iteration": self._trainer.state.iteration,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.network.load_state_dict(state["model"])
        self._trainer.optimizer.load_state_dict(state["optimizer"])
        for schedule, its_state in zip(self._schedules, state["schedules"], strict=True):
            schedule.load_state_dict(its_state)
        at = self._trainer.state
        self._trainer.load_state_dict(
            {"epoch_length": at.epoch_length, "max_epochs": at.max_epochs, "iteration": state["iteration"]}
        )

    def _dice(self) -> float:
        dice = float(self._evaluator.state.metrics[self._evaluator.state.key_metric_name])
        return dice if math.isfinite(dice) else 0.0

    def _keep_samples(self, engine: Engine) -> None:
        for item in engine.state.output:
            if len(self.samples) < MOST_SAMPLES:
                image, label, prediction = (np.asarray(item[key].cpu()) for key in ("image", "label", "pred"))
                self.samples.append((image[0], _values(label), _values(prediction)))


def _items(examples: Iterable[Example]) -> list[dict[str, Any]]:
    return [asdict(example) for example in examples]


def _loss(output: Any) -> float:
    return float(output[0]["loss"] if isinstance(output, list) else output["loss"])


def _values(channels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as one value a voxel."""
    return channels.argmax(axis=0) if len(channels) > 1 else channels[0]


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    def is_plain(value: Any) -> bool:
        if isinstance(value, list):
            return all(map(is_plain, value))
        return isinstance(value, bool | int | float) or (isinstance(value, str) and value[:1] not in "$@%")

    network = config.get("network_def")
    named = {"network": network.get("_target_")} if isinstance(network, dict) else {}
    return named | {key: value for key, value in config.items() if is_plain(value) and key != "bundle_root"}
