"""How figures change with the size of what a server holds, as SVG: sizes by powers of ten, times as multiples of the smallest's."""

import math

COLOURS = ["#1f5fa8", "#3a7d44", "#b3261e", "#8a5a00", "#6a3d9a"]
WIDTH, HEIGHT, LEFT, TOP = 640, 280, 60, 20


def plot(series, limit, top=1.6):
    """series: {name: [[size, times], …]}; limit: the line not to cross."""
    largest = max(size for points in series.values() for size, _ in points)

    def x(size):
        return LEFT + math.log10(size) / math.log10(largest) * WIDTH

    def y(times):
        return TOP + (1 - min(times, top) / top) * HEIGHT

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{HEIGHT + 130}"'
             ' font-family="sans-serif" font-size="12">',
             f'<rect width="{LEFT + WIDTH + 40}" height="{HEIGHT + 130}" fill="#fff"/>']
    for times in (0, 0.5, 1, 1.5):
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(times):.0f}" y2="{y(times):.0f}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 8}" y="{y(times) + 4:.0f}" text-anchor="end">{times:g} ×</text>')
    parts.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(limit):.0f}" y2="{y(limit):.0f}" stroke="#000"'
                 f' stroke-dasharray="4"/><text x="{LEFT + WIDTH + 4}" y="{y(limit) + 4:.0f}">{limit:g} ×</text>')
    for size in sorted({size for points in series.values() for size, _ in points}):
        parts.append(f'<text x="{x(size):.0f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{size:,}</text>')
    parts.append(f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 36}" text-anchor="middle">'
                 'finished builds, and a tenth as many jobs queued</text>')
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{x(size):.0f},{y(times):.0f}" for size, times in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(size):.0f}" cy="{y(times):.0f}" r="3" fill="{colour}"/>' for size, times in points]
        left = LEFT + number % 2 * WIDTH // 2
        parts.append(f'<rect x="{left}" y="{TOP + HEIGHT + 50 + number // 2 * 18}" width="12" height="12" fill="{colour}"/>'
                     f'<text x="{left + 18}" y="{TOP + HEIGHT + 60 + number // 2 * 18}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
