"""A chip with a mesh of cores: what fits, what an event costs, how far a spike travels.

A chip is a TOML file, ours (``loihi1.toml``, ``loihi2.toml``) or a user's. It has a ``name``, a
``title``, a table ``[sources]`` of abbreviations, and a table ``[constants]`` in which every
constant is ``key = { value = …, unit = "…", source = "…" }``; ``source`` is an abbreviation, free
text, or begins with the word ``assumed`` where nothing is published.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from snncc.diagnostics import Finding, Location, SnnccError
from snncc.registry import TARGETS, find, names

BUILT_IN = ("loihi1", "loihi2")

_SCALES = {
    "J": {"J": 0, "mJ": -3, "uJ": -6, "nJ": -9, "pJ": -12, "fJ": -15},
    "s": {"s": 0, "ms": -3, "us": -6, "ns": -9, "ps": -12},
    "W": {"W": 0, "mW": -3, "uW": -6},
    "spikes/s": {"spikes/s": 0, "Mspikes/s": 6, "Gspikes/s": 9},
}
"""Units a file may use, as powers of ten of the unit of the constant."""


@dataclass(frozen=True)
class Constant:
    """A number of the hardware and where it is published."""

    name: str
    value: float
    unit: str
    source: str


MOST = 2**31 - 1
"""The largest count there may be, of cores on a board too: a `Mapping` numbers them in 32 bits."""


def _constant(unit: str, least: int = 0) -> Any:
    """A constant of a chip, in ``unit``, no smaller than ``least``."""
    return field(metadata={"unit": unit, "least": least})


@dataclass(frozen=True)
class Chip:
    """A chip and the board it sits on; numbers are counts, bits, joules, seconds and watts.

    Cores come in tiles, tiles in a mesh with XY routing (east-west first), chips in a mesh whose
    links continue that of the tiles: a spike that leaves the last tile of a chip arrives in the
    first tile of the next. The cores of a tile share its router.

    A core has ``neurons`` compartments. Its synapse memory has ``synapse_words`` words of
    ``word_bits`` bits; a stored synapse takes ``weight_bits``, and ``index_bits`` more where the
    targets of an axon are not consecutive. Every source axon that arrives needs one of
    ``fan_in_lists``; every pair of a neuron on the core and a core it sends to, one of
    ``fan_out_axons``; every core that any of them sends to, one of ``routing_entries``.
    ``population_axons``: whether the axons of all channels of one place of a conv's input share a
    fan-in list (1) or not (0).
    ``thresholds``: "neuron" where each neuron of a core may have parameters of its own, "layer"
    where all neurons of a core have the same threshold and decays, and their biases alone differ.

    ``sources`` says, by the constant's name, where its number is published, or "assumed …".
    """

    name: str
    title: str

    tile_columns: int = _constant("tiles", 1)
    tile_rows: int = _constant("tiles", 1)
    cores_per_tile: int = _constant("cores", 1)
    chips: int = _constant("chips", 1)
    """The largest board."""

    neurons: int = _constant("neurons", 1)
    synapse_words: int = _constant("words", 1)
    word_bits: int = _constant("bits", 1)
    weight_bits: int = _constant("bits", 1)
    index_bits: int = _constant("bits")
    fan_in_lists: int = _constant("lists", 1)
    population_axons: int = _constant("yes or no")
    fan_out_axons: int = _constant("axons", 1)
    routing_entries: int = _constant("entries", 1)
    largest_delay: int = _constant("steps")
    spike_bits: int = _constant("bits")
    """Of the number a spike carries; 0 where it carries none."""
    thresholds: Literal["neuron", "layer"] = _constant("per")

    synapse_j: float = _constant("J")
    """A synaptic operation: one spike at one synapse."""
    neuron_active_j: float = _constant("J")
    """The update of a neuron that something happened to, in one step."""
    neuron_inactive_j: float = _constant("J")
    axon_in_j: float = _constant("J")
    """A spike that arrives at a core."""
    axon_out_j: float = _constant("J")
    """A spike that leaves a neuron for one core."""
    tile_j: float = _constant("J")
    """A spike on its way within the tile of its target."""
    hop_ew_j: float = _constant("J")
    hop_ns_j: float = _constant("J")
    hop_chip_j: float = _constant("J")
    """From a chip to the next, in place of a hop between tiles."""
    static_w: float = _constant("W")
    """Of a chip that does nothing."""

    synapse_s: float = _constant("s")
    neuron_active_s: float = _constant("s")
    neuron_inactive_s: float = _constant("s")
    axon_in_s: float = _constant("s")
    axon_out_s: float = _constant("s")
    tile_s: float = _constant("s")
    hop_ew_s: float = _constant("s")
    hop_ns_s: float = _constant("s")
    hop_chip_s: float = _constant("s")
    barrier_tile_s: float = _constant("s")
    """The barrier at the end of a step, of one tile."""
    barrier_chip_s: float = _constant("s")
    """Of all tiles of a chip."""
    barrier_next_s: float = _constant("s")
    """What the barrier takes more for each chip that it travels along the board."""
    step_s: float = _constant("s")
    """The shortest step there is."""
    link_spikes_s: float = _constant("spikes/s", 1)
    """What a link between two tiles carries, in each direction."""
    buffer_spikes: int = _constant("spikes", 1)
    """What waits in a router's buffer, in each direction, before the link stops."""

    sources: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    @property
    def tiles(self) -> int:
        """Tiles of a chip."""
        return self.tile_columns * self.tile_rows

    @property
    def cores(self) -> int:
        """Cores of a chip."""
        return self.tiles * self.cores_per_tile

    def barrier_s(self, tiles: int, chips: int = 1) -> float:
        """Seconds for ``tiles`` of one chip to agree that a step is over, or for whole ``chips``.

        Linear between one tile and a chip; a board adds ``barrier_next_s`` for each chip on the
        way between its far corners.
        """
        if chips > 1:
            columns, rows = board(chips)
            return self.barrier_chip_s + (columns + rows - 2) * self.barrier_next_s
        share = (tiles - 1) / max(self.tiles - 1, 1)
        return self.barrier_tile_s + share * (self.barrier_chip_s - self.barrier_tile_s)

    @property
    def constants(self) -> tuple[Constant, ...]:
        """Every number with its unit and source."""
        return tuple(
            Constant(f.name, value, f.metadata["unit"], self.sources.get(f.name, ""))
            for f in CONSTANTS.values()
            if not isinstance(value := getattr(self, f.name), str)
        )

    @property
    def assumed(self) -> tuple[str, ...]:
        """The constants that nobody has published."""
        return tuple(name for name, text in self.sources.items() if text.startswith("assumed"))


CONSTANTS: Mapping[str, Field[Any]] = {f.name: f for f in fields(Chip) if f.metadata}
"""The fields of a chip that are numbers of the hardware, each with "unit" and "least"."""

_OWN = ("name", "title", "sources", "constants")


def board(chips: int) -> tuple[int, int]:
    """Columns and rows of the squarest board of just so many chips.

    Every row is full: a spike that goes along its row first finds a router in every place.
    """
    rows = next(rows for rows in range(math.isqrt(chips), 0, -1) if chips % rows == 0)
    return chips // rows, rows


def board_for(chips: int, most: int) -> int:
    """The fewest chips, from ``chips`` to ``most``, of a board no more than twice as long as wide.

    ``chips`` itself where ``most`` leaves no such board.
    """
    for size in range(chips, most + 1):
        columns, rows = board(size)
        if columns <= 2 * rows:
            return size
    return chips


@cache
def built_in(name: str) -> Chip:
    """The chip of one of our own files, named in ``BUILT_IN``."""
    resource = files("snncc.targets") / f"{name}.toml"
    return parse_chip(resource.read_text(encoding="utf-8"), f"{name}.toml")


def find_chip(name: str) -> Chip:
    """A chip by the name of its target, ours or of another package, or the one in a file.

    Raises as `load_chip` does.
    """
    if name in BUILT_IN:
        return built_in(name)
    chip: Chip | None = find(TARGETS, name).chip if name in names(TARGETS) else None
    return chip or load_chip(name)


def load_chip(path: str | Path) -> Chip:
    """The chip in a user's file. Raises SnnccError (SNN320), with everything that is wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _refusal(str(path), [f"cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise _refusal(str(path), ["is not UTF-8 text"]) from None
    return parse_chip(text, str(path))


def parse_chip(text: str, file: str) -> Chip:
    """The chip that ``text`` describes. Raises SnnccError (SNN320), with everything wrong in it."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _refusal(file, [f"is not TOML: {error}"]) from None
    said = list(_unknown(table, _OWN, "key"))
    for key in ("name", "title"):
        if not isinstance(table.get(key), str) or not table[key]:
            said.append(f"needs a {key}, a text, at its top")
    tables = {}
    for key in ("sources", "constants"):
        tables[key] = table.get(key, {})
        if not isinstance(tables[key], dict):
            said.append(f"has {key} = {tables[key]!r}, and that is a table, [{key}]")
            tables[key] = {}
    sources, given = tables["sources"], tables["constants"]
    said += [
        f"has the source {key} = {text!r}, and a source is a text"
        for key, text in sources.items()
        if not isinstance(text, str)
    ]
    said += _unknown(given, tuple(CONSTANTS), "constant")
    values: dict[str, Any] = {}
    cited: dict[str, str] = {}
    for key, f in CONSTANTS.items():
        if key not in given:
            said.append(f"lacks the constant {key} ({f.metadata['unit']})")
            continue
        wrong = list(_wrong(key, f, given[key]))
        said += wrong
        if not wrong:
            entry = given[key]
            power = _SCALES.get(f.metadata["unit"], {}).get(entry["unit"])
            # In decimals, because 23.6 times 1e-12 is not the float nearest to 23.6 pJ.
            value = entry["value"]
            values[key] = value if power is None else float(Decimal(str(value)).scaleb(power))
            cited[key] = str(sources.get(entry["source"], entry["source"]))
    if said:
        raise _refusal(file, said)
    chip = Chip(table["name"], table["title"], **values, sources=MappingProxyType(cited))
    if said := list(_contradictions(chip)):
        raise _refusal(file, said)
    return chip


def _contradictions(chip: Chip) -> Iterator[str]:
    """What constants that are each fine say together."""
    if (cores := chip.chips * chip.cores) > MOST:
        yield f"has a board of {cores:,} cores, chips x tiles x cores, and that is at most {MOST:,}"
    if chip.barrier_chip_s < chip.barrier_tile_s:
        yield "has a barrier of a chip that is shorter than that of a tile"


def _wrong(key: str, f: Field[Any], entry: object) -> Iterator[str]:
    unit, least = f.metadata["unit"], f.metadata["least"]
    if not isinstance(entry, dict):
        yield f"has {key} = {entry!r}, and a constant is {{ value = …, unit = …, source = … }}"
        return
    yield from (f"{said} in {key}" for said in _unknown(entry, ("value", "unit", "source"), "key"))
    known = _SCALES.get(unit, {unit: 0})
    if "unit" not in entry:
        yield f"gives {key} no unit; it is in {_either(known)}"
    elif not isinstance(entry["unit"], str) or entry["unit"] not in known:
        yield f"gives {key} in {entry['unit']!r}, and it is in {_either(known)}"
    source = entry.get("source", "")
    if not isinstance(source, str) or not source.strip():
        yield f'gives {key} no source; cite one, or write source = "assumed" if there is none'
    if "value" not in entry:
        yield f"gives {key} no value"
        return
    value = entry["value"]
    if unit == "per":
        if value not in ("neuron", "layer"):
            yield f'has {key} = {value!r}, and that is "neuron" or "layer"'
    elif isinstance(value, bool) or not isinstance(value, int | float):
        yield f"has {key} = {value!r}, and that is a number"
    elif not math.isfinite(value):
        yield f"has {key} = {value!r}, and that is no finite number"
    elif f.type == "int" and not isinstance(value, int):
        yield f"has {key} = {value!r}, and that is a whole number of {unit}"
    elif value < 0:
        yield f"has {key} = {value!r}, and that cannot be negative"
    elif value < least:
        yield f"has {key} = {value!r}, and that is at least {least}"
    elif isinstance(value, int) and value > MOST:
        yield f"has {key} = {value!r}, and that is at most {MOST}"
    elif value > 1e30:
        yield f"has {key} = {value!r}, and that is at most 1e30"
    elif unit == "yes or no" and value > 1:
        yield f"has {key} = {value!r}, and that is 1 or 0"


def _unknown(table: Mapping[str, Any], known: tuple[str, ...], what: str) -> Iterator[str]:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            yield f"has an unknown {what} {key}" + (f"; did you mean {near[0]}?" if near else "")


def _either(names: Mapping[str, int]) -> str:
    *more, last = names
    return f"{', '.join(more)} or {last}" if more else last


def _refusal(file: str, said: list[str]) -> SnnccError:
    return SnnccError([Finding("SNN320", f"{file} {each}", Location(file=file)) for each in said])
