"""`report.html` of a verified bundle: one self-contained page from the content of `report.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cineflow.spec import ModelSpec

_PAGE = """{% macro judged(passed, value, unit) -%}
<td class="n {{ 'good' if passed else 'bad' }}">{{ number(value) }} {{ unit }}</td>
{%- endmacro -%}
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<title>{{ data.served_name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd;
         vertical-align: top }
td.s, td.n { white-space: nowrap }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums }
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

<h2>Findings</h2>
{% if data.findings %}<ul>
{% for finding in data.findings %}
<li class="{{ 'bad' if finding.severity == 'error' else 'open' }}">{{ finding.message }}.
<span class="note">{{ finding.remedy }}.</span></li>
{% endfor %}</ul>
{% else %}<p class="good">None: the checks of <code>cineflow check</code> have nothing to say.</p>
{% endif %}
{% for refusal in data.refusals %}<p class="bad">{{ refusal }}</p>{% endfor %}

<h2>Against {{ data.reference }}, call by call</h2>
<p class="note">The bundle is in {{ data.precision }}; rows of another precision say what it would
cost, and do not decide.</p>
<table>
<tr><th>Runtime, and what runs our ops</th><th>Precision</th><th>Output</th><th>Size</th>
<th class="n">Largest difference</th><th class="n">Mean</th><th class="n">Accepted</th></tr>
{% for row in data.parity %}
<tr><td>{{ row.runtime }}, {{ row.kernels }}</td>
<td>{{ row.precision }}</td><td>{{ row.output }}</td><td class="s">{{ sizes(row.sizes) }}</td>
{{ judged(row.passed, row.worst, row.unit) }}
<td class="n">{{ number(row.mean) }}</td>
<td class="n">{{ row.tolerance }}</td></tr>
{% endfor %}
</table>
{% if data.beat %}
<h2>Against {{ data.reference }}, composed over a beat</h2>
<p class="note">A phantom of {{ data.beat[0].height }} x {{ data.beat[0].width }} px from
end-diastole to end-systole; the wall moves by {{ number(data.beat[0].motion_px) }} px in
{{ data.reference }}. A phantom is easier than a patient.</p>
<table>
<tr><th>Runtime, and what runs our ops</th><th>Precision</th>
<th class="n">Displacement</th><th class="n">Accepted</th>
<th class="n">Strain</th><th class="n">Accepted</th></tr>
{% for row in data.beat %}
<tr><td>{{ row.runtime }}, {{ row.kernels }}</td><td>{{ row.precision }}</td>
{{ judged(row.composed_px is not none and row.composed_px <= row.tolerance_px,
          row.composed_px, "px") }}
<td class="n">{{ number(row.tolerance_px) }}</td>
{{ judged(row.strain_points is not none and row.strain_points <= row.tolerance_points,
          row.strain_points, "points") }}
<td class="n">{{ number(row.tolerance_points) }}</td></tr>
{% endfor %}
</table>
{% endif %}

<h2>Targets</h2>
<p class="note">What opset, file format and operators say; a target that was not tried may still
refuse the file.</p>
<table>
{% for name, target in data.targets.items() %}
<tr><th>{{ name }}</th><td class="{{ 'bad' if target.against else 'good' }}">
{{- target.against | join("; ") if target.against else "nothing speaks against it" }}</td>
<td class="note">{{ target.source }}</td></tr>
{% endfor %}
</table>

<h2>Graph</h2>
<table>
<tr><th>Precision</th><td>{{ data.summary.precision }}</td></tr>
<tr><th>Parameters</th><td>{{ "{:,}".format(data.summary.parameters) }}</td></tr>
<tr><th>Multiply-adds</th><td>{{ "%.3g" | format(data.summary.multiply_adds) }}
{%- if data.summary.sizes %} at {{ sizes(data.summary.sizes) }}{% endif %}</td></tr>
<tr><th>File</th><td>{{ "{:,}".format(data.summary.file_bytes) }} bytes</td></tr>
<tr><th>Operators</th><td>
{%- for name, count in data.summary.operators.items() -%}
{{ count }} {{ name }}{{ ", " if not loop.last }}
{%- endfor %}</td></tr>
</table>

<h2>Time of one run here</h2>
<p class="note">Median of a few runs{% if data.summary.sizes %} at
{{ sizes(data.summary.sizes) }}{% endif %}, while other programs may have run.</p>
<table>
{% for name, value in data.timings_ms.items() %}
<tr><th>{{ name }}</th>
<td class="n">{{ "failed" if value is none else "%.1f ms" | format(value) }}</td></tr>
{% endfor %}
</table>
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
