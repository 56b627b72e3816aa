"""How full the cores are, as a table of text."""

from __future__ import annotations

from snncc.mapping.reports import Cut, Placed, Routed
from snncc.reports import Reports


def table(reports: Reports) -> list[str]:
    """Lines of text from the reports of partition, place and route."""
    cut, placed, routed = reports[Cut], reports[Placed], reports[Routed]
    least = cut.cores_at_least
    lines = [
        f"{cut.cores:,} cores on {cut.chips:,} chips of {cut.chip}; at least "
        f"{cut.least:,} cores whatever the mapping",
        "",
        f"{'':<10}{'mean':>8}{'max':>8}{'cores at least':>16}",
    ]
    for what, used in cut.utilisation.items():
        bound = f"{least[what]:,}" if what in least else "-"
        lines.append(f"{what:<10}{used['mean']:>8.1%}{used['max']:>8.1%}{bound:>16}")
    lines += [
        "",
        f"largest synaptic work of a core over the mean  {cut.largest_work_over_mean:.3f}",
        f"spikes × hops per step  {placed.hops:,.0f}; at random {placed.hops_at_random:,.0f}",
        f"spikes on the busiest link  {routed.spikes_on_the_busiest_link:,.0f}, "
        f"{routed.busiest_link}; the mean {routed.spikes_on_the_mean_link:,.0f}",
        "",
        f"{'place':<40}{'neurons':>12}{'cores':>8}",
    ]
    lines += [
        f"{name:<40}{row['neurons']:>12,}{row['cores']:>8,}" for name, row in cut.places.items()
    ]
    return lines
