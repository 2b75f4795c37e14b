"""The error codes of the contract, each with the HTTP status it is answered with. Source: wire-api sections 1.5 and 8."""

from __future__ import annotations

from collections.abc import Mapping

STATUS: Mapping[str, int] = {
    "invalid_api_key": 401,
    "insufficient_key_scope": 403,
    "unexpected_error": 500,
    "request_processing_error": 400,
    "header_is_missing": 400,
    "invalid_json": 400,
    "required_field_missing": 400,
    "invalid_ingest_event_timestamp": 400,
    "blocking_limit_not_allowed": 400,
    "category_not_found": 404,
    "category_resource_not_found": 404,
    "limit_not_found": 404,
    "create_limit_validation_failed": 400,
    "update_limit_validation_failed": 400,
    "limit_name_already_exist": 400,
    "invalid_max_limit": 400,
    "invalid_max_limit_update": 400,
    "duplicate_limit_id": 400,
    "invalid_limit_id": 400,
    "invalid_limit_ids": 400,
    "limit_reached": 402,
    "unbounded": 402,
    "hold_not_found": 404,
    "use_case_not_found": 404,
    "use_case_instance_not_found": 404,
    "use_case_already_exists": 400,
    "invalid_use_case_name": 400,
    "invalid_use_case_description": 400,
    "invalid_user_id": 400,
    "invalid_tags": 400,
    "kpi_not_found": 404,
    "kpi_already_exists": 400,
    "invalid_kpi_score": 400,
    "request_not_found": 404,
    "system_category_forbidden": 403,
    "resource_already_exists": 400,
    "invalid_cursor": 400,
    "payload_too_large": 413,
    "not_implemented": 501,
}


class ContractError(Exception):
    """Refuse an operation with a code of the contract; engine and server turn it into the error envelope."""

    def __init__(self, code: str, message: str, result: Mapping[str, object] | None = None) -> None:
        """Take a code of :data:`STATUS`, a message that names field, value and way out, and what `xproxy_result` says."""
        super().__init__(message)
        self.result = result
        self.code = code
        self.message = message
        self.status = STATUS[code]


def envelope(error: ContractError) -> dict[str, object]:
    """Return the error envelope (wire-api section 1.4)."""
    shown: dict[str, object] = {
        "statusCode": error.status,
        "message": error.message,
        "xproxy_error": {"code": error.code, "message": error.message},
    }
    return shown if error.result is None else {**shown, "xproxy_result": error.result}
