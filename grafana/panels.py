"""Builders for the kinds of panels. Each panel has a unit, a description, and series of a legend and a query."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .queries import SCRAPE

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${source}")

SECONDS: Final = "s"
SHARE: Final = "percentunit"
COUNT: Final = "short"
PER_SECOND: Final = "cps"
BYTES: Final = "bytes"
CORES: Final = "none"

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
ANY_IS_BAD: Final = ((0.0, GREEN), (1.0, RED))
TARGET: Final = "target"
"""The legend of a limit, drawn as a red, dashed line."""

Steps = Sequence[tuple[float, str]]
"""Colours, each with the value from which it applies; the first also applies below its value."""


class PanelSeries(NamedTuple):
    """A line or a figure. The legend may contain labels, such as `{{code}}`."""

    legend: str
    query: str


def lines(title: str, description: str, unit: str, *series: PanelSeries, limits: Steps = ()) -> Builder[Panel]:
    """Lines over time. `limits` are constants, drawn as dashed lines; for other limits, add a series named `target`."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .interval(SCRAPE)
        .line_width(2)
        .fill_opacity(8)
        .show_points(VisibilityMode.NEVER)
        .thresholds(_thresholds(limits or ((0.0, GREEN),)))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .override_by_name(
            TARGET,
            [
                DynamicConfigValue("color", {"mode": "fixed", "fixedColor": RED}),
                DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
                DynamicConfigValue("custom.fillOpacity", 0),
            ],
        )
    )
    if limits:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for index, each in enumerate(series):
        panel.with_target(_target(each, index))
    return panel


def figure(
    title: str,
    description: str,
    unit: str,
    *series: PanelSeries,
    colours: Steps = ((0.0, GREEN),),
    words: Mapping[int, tuple[str, str]] | None = None,
    names: bool = False,
) -> Builder[Panel]:
    """The last value, large and coloured. `words`: text and colour instead of a value; `names`: only the legend."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .interval(SCRAPE)
        .thresholds(_thresholds(colours))
        .graph_mode(BigValueGraphMode.NONE if words or names else BigValueGraphMode.AREA)
        .color_mode(BigValueColorMode.BACKGROUND_SOLID)
        .text_mode(BigValueTextMode.NAME if names else BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        # No data is neither good nor 0, so it is shown as not measured.
        .no_value("not measured")
    )
    if words:
        panel.mappings([_words(words)])
    for index, each in enumerate(series):
        target = _target(each, index)
        # A range query would return every name that applied at any time in the range.
        panel.with_target(target.instant() if names else target)
    return panel


def states(
    title: str, description: str, *series: PanelSeries, words: Mapping[int, tuple[str, str]], none: str
) -> Builder[Panel]:
    """States over time, one bar each. `none` is the text to show if there are none."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(COUNT)
        .interval(SCRAPE)
        .thresholds(_thresholds(((0.0, GREEN),)))
        .mappings([_words(words)])
        .merge_values(True)
        .show_value(VisibilityMode.NEVER)
        .no_value(none)
    )
    for index, each in enumerate(series):
        panel.with_target(_target(each, index))
    return panel


def cloud(title: str, description: str, unit: str, series: PanelSeries) -> Builder[Panel]:
    """A histogram over time: one row per bucket, brighter for more. The query must group by `le`."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .interval(SCRAPE)
        .thresholds(_thresholds(((0.0, GREEN),)))
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Turbo").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .with_target(_target(series, 0).format(PromQueryFormat.HEATMAP))
    )


def _target(series: PanelSeries, index: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(ascii_uppercase[index])
        .expr(series.query)
        .legend_format(series.legend)
        .range()
        .datasource(SOURCE)
    )


def _thresholds(steps: Steps) -> ThresholdsConfig:
    (_, first), *others = steps
    made = [Threshold(None, first), *(Threshold(value, colour) for value, colour in others)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def _words(words: Mapping[int, tuple[str, str]]) -> ValueMapping:
    return ValueMap({
        str(value): ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(words.items())
    })  # fmt: skip
