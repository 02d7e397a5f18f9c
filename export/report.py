"""`report.html` of a verified bundle: one self-contained page from the content of `report.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cineflow.spec import ModelSpec

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<title>{{ data.served_name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd;
         vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.good { color: #176b2c } .note { color: #555 } .bad { color: #a3182a; font-weight: 600 }
.open { color: #8a5a00; font-weight: 600 }
</style></head><body>
<h1>{{ data.served_name }}</h1>
<p>{{ spec.summary }}</p>
<p class="{{ 'bad' if not data.passed else 'open' if data.not_proven else 'good' }}">
{{ data.verdict }}</p>
{% for line in data.not_proven %}<p class="open">Not proven: {{ line }}.</p>
{% endfor %}
<p class="note">Compared with {{ data.reference }}
{%- if data.recipe %} (recipe {{ data.recipe }}){% endif %}.
Weights: {{ data.summary.weights }}. Research use, not for diagnosis.</p>

<h2>Graph</h2>
<table>
<tr><th>Precision</th><td>{{ data.summary.precision }}</td></tr>
<tr><th>Parameters</th><td>{{ "{:,}".format(data.summary.parameters) }}</td></tr>
<tr><th>Multiply-adds</th><td>{{ "%.3g" | format(data.summary.multiply_adds) }}
{%- if data.summary.sizes %} at {{ sizes(data.summary.sizes) }}{% endif %}</td></tr>
<tr><th>File</th><td>{{ "{:,}".format(data.summary.file_bytes) }} bytes</td></tr>
<tr><th>Operators</th><td>
{%- for name, count in data.summary.operators.items() %}
{{ name }} {{ count }}{{ ", " if not loop.last }}
{%- endfor %}</td></tr>
</table>

<h2>Parity</h2>
{% for refusal in data.refusals %}<p class="bad">{{ refusal }}</p>{% endfor %}
<p class="note">The bundle is in {{ data.precision }}; rows of another precision say what it would
cost, and do not decide.</p>
<table>
<tr><th>Runtime</th><th>Our ops</th><th>Precision</th><th>Output</th><th>Size</th><th>Worst</th>
<th>Mean</th>
<th>Tolerance</th></tr>
{% for row in data.parity %}
<tr><td>{{ row.runtime }}</td><td>{{ row.kernels }}</td>
<td>{{ row.precision }}</td><td>{{ row.output }}</td>
<td>{{ sizes(row.sizes) }}</td>
<td class="n {{ 'good' if row.passed else 'bad' }}">
{{- number(row.worst) }} {{ row.unit }}</td>
<td class="n">{{ number(row.mean) }}</td>
<td class="n">{{ "none stated" if row.tolerance is none else row.tolerance }}</td></tr>
{% endfor %}
</table>
{% if data.beat %}
<h2>Composed over a phantom beat, end-diastole to end-systole</h2>
<p class="note">The difference to {{ data.reference }}, on frames of
{{ data.beat[0].height }} x {{ data.beat[0].width }} px. A phantom is easier than a patient.</p>
<table>
<tr><th>Runtime</th><th>Precision</th><th>Displacement</th><th>Strain</th>
<th>Motion itself</th></tr>
{% for row in data.beat %}
<tr><td>{{ row.runtime }}</td><td>{{ row.precision }}</td>
<td class="n {{ 'good' if row.passed else 'bad' }}">
{{- number(row.composed_px) }} px</td>
<td class="n">{{ number(row.strain_points) }} points</td>
<td class="n">{{ number(row.motion_px) }} px</td></tr>
{% endfor %}
</table>
{% endif %}
<h2>Targets</h2>
<table>
{% for name, against in data.targets.items() %}
<tr><th>{{ name }}</th><td class="{{ 'bad' if against else 'good' }}">
{{ against | join("; ") if against else "takes it" }}</td></tr>
{% endfor %}
</table>

<h2>Time of one run here</h2>
<table>
{% for name, value in data.timings_ms.items() %}
<tr><th>{{ name }}</th><td class="n">{{ number(value) }} ms</td></tr>
{% endfor %}
</table>

<h2>Findings</h2>
{% if data.findings %}<ul>
{% for finding in data.findings %}
<li class="{{ 'bad' if finding.severity == 'error' else '' }}">{{ finding.message }}.
<span class="note">{{ finding.remedy }}.</span></li>
{% endfor %}</ul>
{% else %}<p class="good">None.</p>{% endif %}
</body></html>
"""


def render(data: Mapping[str, Any], spec: ModelSpec) -> str:
    """The page for one report; every text in it is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(_PAGE)
    page: str = template.render(data=data, spec=spec, sizes=_sizes, number=_number)
    return page


def _sizes(sizes: Mapping[str, int]) -> str:
    return " x ".join(str(size) for size in sizes.values()) or "fixed"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:g}"
