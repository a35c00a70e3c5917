"""An examination of a deployment from the inside. Start reading at `examination.examine`.

report has the words, each cause with its fix; server, observed_login and responder_status observe; diagnosis and answers
say what that means for NATS, check_kubernetes both for the cluster, and check_sessions both for
what SESSION_CONTROL needs.
"""

from nats_k8s_oidc_callout.doctor.examination import ALL, examine, misconfigured
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, Report, Status

__all__ = ["ALL", "Cause", "Finding", "Report", "Status", "examine", "misconfigured"]
