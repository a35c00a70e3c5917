"""An examination of a deployment from the inside. Start reading at `examination.examine`.

report has the words, server, login and cluster ask, trial logs in while it listens, diagnosis tells causes apart.
"""

from nats_k8s_oidc_callout.app.doctor.examination import ALL, examine, misconfigured
from nats_k8s_oidc_callout.app.doctor.report import Cause, Finding, Report, Status

__all__ = ["ALL", "Cause", "Finding", "Report", "Status", "examine", "misconfigured"]
