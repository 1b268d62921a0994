"""What a benchmark found: a table on the terminal as it comes, and a file at the end."""

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: float
    unit: str


@dataclass(slots=True)
class Report:
    file: Path
    figures: list[Figure] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, bound: str = "") -> None:
        """`bound` is what the figure should keep to, as it is read by people."""
        figure = Figure(name, round(value, 3), unit)
        self.figures.append(figure)
        print(f"{name:28} {figure.value:>10} {unit:12} {bound}", flush=True)

    def write(self) -> None:
        self.file.parent.mkdir(exist_ok=True)
        rows = [{"name": f.name, "value": f.value, "unit": f.unit} for f in self.figures]
        self.file.write_text(json.dumps(rows, indent=2) + "\n")
