"""An examination of a deployment from the inside. Start reading at `examination.examine`.

report has the words; check_nats, login, signing and check_kubernetes ask, responder_status asks the responder beside us,
observed_login logs in while it listens, and diagnosis tells causes apart.
"""

from nats_k8s_oidc_callout.doctor.examination import ALL, examine, misconfigured
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, Report, Status

__all__ = ["ALL", "Cause", "Finding", "Report", "Status", "examine", "misconfigured"]
