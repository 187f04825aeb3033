"""A line chart as SVG, by hand."""

from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 110, 50, 50
COLOURS = ("#1f6f8b", "#d1495b", "#5b8e3e", "#7d5ba6")


def lines(title, ticks, series):
    """`ticks`: a word for each place on the x axis; `series`: {name: a value for each}."""
    values = [value for line in series.values() for value in line]
    low, high = min(values), max(values)
    step = _step(high - low)
    low, high = step * int(low / step), step * (int(high / step) + 1)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             _text(LEFT, 28, title, anchor="start", size=15)]

    def x(place):
        return LEFT + (WIDTH - LEFT - RIGHT) * (place + 0.5) / len(ticks)

    def y(value):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, y(value) + 4, f"{value:.2f}", anchor="end"))
    parts += [_text(x(place), HEIGHT - BOTTOM + 22, tick) for place, tick in enumerate(ticks)]
    for (name, line), colour in zip(series.items(), COLOURS):
        places = [(x(place), y(value)) for place, value in enumerate(line)]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (a, b), value in zip(places, line):
            parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>')
            parts.append(_text(a, b - 8, f"{value:.3f}", size=11, colour=colour))
        parts.append(_text(places[-1][0] + 26, places[-1][1] + 4, name, anchor="start",
                           colour=colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _step(span):
    """About five lines, at round values."""
    return next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if span / step <= 7 or step == 0.5)


def _text(x, y, text, anchor="middle", size=12, colour="#333"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{colour}">{escape(text)}</text>')
