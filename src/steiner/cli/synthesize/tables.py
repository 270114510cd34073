"""What the command prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from steiner.synthesis import SynthesisYield
    from steiner.synthesis.accounts import LlmReport
    from steiner.synthesis.estimate import Amount, DryRun


def yield_table(total: SynthesisYield, title: str) -> Table:
    """Return what came of all questions of a run."""
    table = Table("traces", "", "share", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {
        "drafts": total.drafts,
        "blind attempt right at once": total.right_at_once,
        "recovered after the answer was revealed": total.recovered,
        "lost": total.lost,
    }
    for name, count in rows.items():
        table.add_row(name, f"{count:,}", f"{count / max(total.traces, 1):.1%}")
    table.add_section()
    table.add_row("distinct traces", f"{total.traces:,}", "")
    table.add_row("repetitions dropped", f"{total.repeated:,}", "")
    table.add_row("questions", f"{total.questions:,}", "")
    table.add_row("steps per trace", f"{total.steps / max(total.traces, 1):.1f}", "")
    table.add_row("backtracks per trace", f"{total.backtracks / max(total.traces, 1):.1f}", "")
    if total.calls:
        _add_calls(table, total)
    return table


def _add_calls(table: Table, total: SynthesisYield) -> None:
    """Add what a language model's calls came to."""
    table.add_section()
    table.add_row("blind attempts", f"{total.attempts:,}", "")
    for reason, count in total.rejected.items():
        table.add_row(f"rejected {reason}", f"{count:,}", "")
    if total.failed:
        table.add_row("questions failed (--retry-failed)", f"{total.failed:,}", "")
    table.add_row("calls answered", f"{total.calls:,}", "")
    again = f"{total.asked_again / max(total.calls, 1):.1%}"
    table.add_row("  asked again: reply rejected", f"{total.asked_again:,}", again)
    table.add_row("prompt tokens", f"{total.prompt_tokens:,}", "")
    table.add_row("reply tokens", f"{total.completion_tokens:,}", "")
    if total.usd is not None:
        table.add_row("cost", dollars(total.usd), "")


def spent_line(report: LlmReport) -> str:
    """Return one line on what this command did and took."""
    parts = [
        f"{report.done_now:,} questions in {report.seconds:,.0f} s",
        f"{report.sent:,} calls sent, {report.cached:,} answered by the journal, "
        f"{report.failed_calls:,} failed",
        f"{report.tokens:,} tokens paid now, {report.run_tokens:,} in this run directory so far",
    ]
    if report.usd is not None and report.run_usd is not None:
        parts.append(f"{dollars(report.usd)} paid now, {dollars(report.run_usd)} so far")
    return "; ".join(parts)


def estimate_table(dry: DryRun, title: str) -> Table:
    """Return calls, tokens and cost by kind of call."""
    table = Table(title=title, title_justify="left")
    table.add_column("call")
    for name in ("calls", "prompt tokens", "reply tokens", "cost", "low", "worst"):
        table.add_column(name, justify="right")
    for name, stage in {**dry.stages, "all": dry.total}.items():
        if name == "all":
            table.add_section()
        typical = stage.typical
        table.add_row(
            name,
            f"{typical.calls:,}",
            f"{typical.prompt_tokens:,}",
            f"{typical.completion_tokens:,}",
            *(_cost(amount) for amount in (typical, stage.low, stage.worst)),
        )
    return table


def _cost(amount: Amount) -> str:
    if amount.usd is None:
        return f"{amount.prompt_tokens + amount.completion_tokens:,} tokens"
    return dollars(amount.usd)


def dollars(amount: float) -> str:
    """Return an amount with as many digits as tell something."""
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"
