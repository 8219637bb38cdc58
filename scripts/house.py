"""The house as it stands: rooms of both packages, the floor of each, what it imports. Exit code 1 where
the core imports the application, rooms import one another in a circle, or there are too many floors.

A room is a module or package directly below pgmif_core or pgmif. Its floor is 1 + that of the highest
room that it imports. `--picture FILE` draws both packages, the wall between them.
"""

import sys
from pathlib import Path

import grimp

MOST_FLOORS = {"pgmif_core": 5, "pgmif": 7}
Arrows = dict[str, set[str]]


def arrows() -> dict[str, Arrows]:
    """By package: each room and the rooms of the same package that it imports."""
    graph = grimp.build_graph(*MOST_FLOORS, include_external_packages=False)
    found: dict[str, Arrows] = {package: {} for package in MOST_FLOORS}
    for module in graph.modules:
        package, _, inner = module.partition(".")
        if not inner:
            continue
        room = inner.partition(".")[0]
        others = (other.partition(".") for other in graph.find_modules_directly_imported_by(module))
        own = {o.partition(".")[0] for p, _, o in others if p == package and o}
        found[package].setdefault(room, set()).update(own - {room})
    return found


def floors(rooms: Arrows) -> dict[str, int]:
    """The floor of every room, from 1. Raises ValueError on a circle."""
    known: dict[str, int] = {}
    while len(known) < len(rooms):
        ready = [r for r in rooms if r not in known and rooms[r] <= known.keys()]
        if not ready:
            raise ValueError("a circle among " + ", ".join(sorted(rooms.keys() - known.keys())))
        known |= {r: 1 + max((known[other] for other in rooms[r]), default=0) for r in ready}
    return known


def upward() -> list[str]:
    """Modules of the core that import the application."""
    graph = grimp.build_graph(*MOST_FLOORS)
    return sorted(m for m in graph.modules if m.startswith("pgmif_core") and any(
        other.partition(".")[0] == "pgmif" for other in graph.find_modules_directly_imported_by(m)))


def draw(path: Path) -> None:
    """Both packages as a picture: floors from below, an arrow from each room to all that it imports."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 8.4), layout="constrained")
    ax, base, places = figure.add_subplot(), 0.0, {}
    colours = {"pgmif_core": "#cfe3f3", "pgmif": "#fde2a8"}
    for package, rooms in arrows().items():
        levels = floors(rooms)
        for level in range(1, max(levels.values()) + 1):
            here = sorted(room for room in rooms if levels[room] == level)
            for k, room in enumerate(here):
                places[package, room] = (3.0 * (k - (len(here) - 1) / 2), base + level - 1)
        for room, others in rooms.items():
            for other in others:
                (x, y), (u, v) = places[package, room], places[package, other]
                ax.annotate("", (u, v + 0.2), (x, y - 0.2), arrowprops={
                    "arrowstyle": "-|>", "color": "#888888", "linewidth": 0.6, "shrinkA": 0,
                    "shrinkB": 0, "connectionstyle": "arc3,rad=0.08"})
        ax.text(-5.4, base + (max(levels.values()) - 1) / 2, package, rotation=90, va="center",
                ha="center", fontsize=11, weight="bold")
        base += max(levels.values()) + 0.6
        if package == "pgmif_core":
            ax.axhline(base - 0.8, color="#D55E00", linewidth=3)
            ax.text(4.9, base - 0.72, "the wall: no arrow upward", color="#D55E00", fontsize=8,
                    ha="right")
    for (package, room), (x, y) in places.items():
        ax.text(x, y, room, ha="center", va="center", fontsize=9, bbox={
            "boxstyle": "round,pad=0.35", "facecolor": colours[package], "edgecolor": "#333333"})
    ax.set_xlim(-5.8, 5.0)
    ax.set_ylim(-0.6, base - 0.9)
    ax.axis("off")
    with mpl.rc_context({"svg.hashsalt": "house", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> int:
    """Print both packages, the highest floor first."""
    if sys.argv[1:2] == ["--picture"]:
        draw(Path(sys.argv[2]))
        return 0
    problems = [f"{module} imports the application" for module in upward()]
    for package, rooms in arrows().items():
        try:
            levels = floors(rooms)
        except ValueError as error:
            problems.append(f"{package}: {error}")
            continue
        count = sum(map(len, rooms.values()))
        print(f"{package}: {len(rooms)} rooms on {max(levels.values())} floors, {count} arrows")
        for room in sorted(levels, key=lambda r: (-levels[r], r)):
            print(f"  {levels[room]}  {room:<14} {' '.join(sorted(rooms[room]))}".rstrip())
        if max(levels.values()) > MOST_FLOORS[package]:
            problems.append(f"{package}: expected at most {MOST_FLOORS[package]} floors, found "
                            f"{max(levels.values())}")
    print("\n".join(problems) if problems else "none upward, no circle")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
