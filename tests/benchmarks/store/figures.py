"""What was measured of the store, as a table for people and as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import mean, median

from benchmarks.figures import cores, machine, verdict
from benchmarks.store.other import Followed
from benchmarks.store.swap import Rates, ratio
from benchmarks.store.watchers import Written, percentile

# What the project promises: how many times more writes than aiosqlite, and how much slower a
# write may be with a thousand who watch.
FASTER = 3.0
SLOWER = 0.10


@dataclass(frozen=True)
class Figures:
    """Everything that one run found out; `swaps` by the number of concurrent writers."""

    version: str
    load: float
    writers: int
    swaps: Mapping[int, Rates]
    watchers: int
    paced: Written
    flat_out: Written
    followed: Followed

    def table(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield "the store: WAL, synchronous=FULL, one file for each run"
        yield f"{machine()}; load {self.load:.1f} before the first round"
        yield ""
        yield f"{'compare-and-swap, writes/s':<28}{'rounds':>7}{'steersman':>11}" + (
            f"{'aiosqlite ' + self.version:>18}{'ratio':>8}"
        )
        for writers, rates in self.swaps.items():
            ours, theirs = median(rates["steersman"]), median(rates["aiosqlite"])
            row = f"{f'{writers} at once':<28}{len(rates['steersman']):>7}{ours:>11.0f}"
            row += f"{theirs:>18.0f}{ratio(rates):>7.1f}x"
            if writers == self.writers:
                row += f"  {verdict(ratio(rates) >= FASTER)} (at least {FASTER:.0f}x)"
            yield row
        yield from self._watched("a write each now and then", self.paced, True)
        yield from self._watched("writes without a pause", self.flat_out, False)
        yield from self._followed()

    def _watched(self, title: str, written: Written, is_promised: bool) -> Iterator[str]:
        yield ""
        columns = f"{'writes':>7}{'alone':>11}{f'{self.watchers} watch':>14}{'slower':>8}"
        yield f"{title + ', ms':<28}{columns}"
        for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
            alone, watched = (percentile(one, share) for one in (written.without, written.watched))
            row = f"  {name:<26}{len(written.watched):>7}{alone:>11.2f}{watched:>14.2f}"
            row += f"{written.slower(share):>8.0%}"
            if is_promised:
                row += f"  {verdict(written.slower(share) <= SLOWER)} (at most {SLOWER:.0%})"
            yield row
        alone, watched = mean(written.without), mean(written.watched)
        yield f"  {'mean':<26}{len(written.watched):>7}{alone:>11.2f}{watched:>14.2f}" + (
            f"{watched / alone - 1:>8.0%}"
        )
        lags = written.lags
        yield f"  heard of after a median of {median(lags):.1f} ms, at most {max(lags):.1f} ms"

    def _followed(self) -> Iterator[str]:
        lags = self.followed.lags
        yield ""
        yield f"another process's writes were seen after a median of {median(lags):.0f} ms, " + (
            f"at most {max(lags):.0f} ms ({len(lags)} writes)"
        )
        idle, unwatched = self.followed.idle, self.followed.unwatched
        yield f"watching an idle file took {idle:.2%} of a core (not watching it {unwatched:.2%})"

    def as_json(self) -> dict[str, object]:
        return {
            "machine": machine(),
            "cores": cores(),
            "aiosqlite": self.version,
            "load": self.load,
            "swaps": {str(writers): dict(rates) for writers, rates in self.swaps.items()},
            "watchers": self.watchers,
            "paced": asdict(self.paced),
            "flat_out": asdict(self.flat_out),
            "followed": asdict(self.followed),
        }
