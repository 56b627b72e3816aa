"""What a recording found wrong: the one place where its findings are collected."""

from __future__ import annotations

from dataclasses import dataclass, field

from snncc.diagnostics import Finding, SnnccError

OF_ONE_CALL = frozenset({
    "SNN103", "SNN110", "SNN112", "SNN301", "SNN302", "SNN307", "SNN308", "SNN309", "SNN310",
    "SNN311", "SNN319",
})  # fmt: skip
"""What is wrong with one call or one tensor alone: a recording may go on behind it. Other findings,
of a shape that does not fit, steps that differ or what forward raises, leave nothing to go on with.
"""

FROZEN = frozenset({"SNN302", "SNN310", "SNN311"})
"""Behind these the values of one run are in the recording, so that another run must differ."""


@dataclass
class Notes:
    """The findings of one recording, each once; a ``lenient`` one collects what it can."""

    lenient: bool = False
    findings: list[Finding] = field(default_factory=list)

    def add(self, error: SnnccError, certain: bool = False) -> None:
        """Take down ``error``, unless it follows from what was taken down before.

        One that is ``certain`` follows from nothing. A write is one finding, whoever reads it.

        What left as a number comes back as a tensor of unknown origin, and values of one run differ
        from step to step.
        """
        codes = {finding.code for finding in self.findings}
        follows = {"SNN311"} if "SNN302" in codes else set()
        if self.frozen:
            follows.add("SNN318")
        for finding in error.findings:
            written = finding.code == "SNN310" and any(
                other.code == "SNN310" and _line(other) == _line(finding) for other in self.findings
            )
            if finding in self.findings or written or (finding.code in follows and not certain):
                continue
            self.findings.append(finding)

    def go_on(self, error: SnnccError, certain: bool = False) -> None:
        """Take down ``error``; raises it where the recording ends there."""
        self.add(error, certain)
        if not self.lenient or any(f.code not in OF_ONE_CALL for f in error.findings):
            raise error

    @property
    def apart(self) -> bool:
        """Whether another recording, which tries nothing, must differ."""
        return self.frozen or any(f.code in ("SNN319", "SNN323") for f in self.findings)

    @property
    def frozen(self) -> bool:
        return any(finding.code in FROZEN for finding in self.findings)


def _line(finding: Finding) -> tuple[str, int]:
    return finding.location.file, finding.location.line
