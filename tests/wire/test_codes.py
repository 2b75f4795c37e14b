"""Error codes and their statuses against wire-api section 1.5, written out by hand."""

from __future__ import annotations

import pytest

from payi_instrument.wire.codes import STATUS, ContractError, envelope

BY_STATUS = {
    400: """
        request_processing_error header_is_missing invalid_json required_field_missing invalid_ingest_event_timestamp
        blocking_limit_not_allowed create_limit_validation_failed update_limit_validation_failed
        limit_name_already_exist invalid_max_limit invalid_max_limit_update
        duplicate_limit_id invalid_limit_id invalid_limit_ids
        use_case_already_exists invalid_use_case_name invalid_use_case_description invalid_user_id invalid_tags
        kpi_already_exists invalid_kpi_score resource_already_exists invalid_cursor
    """,
    401: "invalid_api_key",
    402: "limit_reached unbounded",
    403: "system_category_forbidden insufficient_key_scope",
    404: """
        category_not_found category_resource_not_found limit_not_found use_case_not_found use_case_instance_not_found
        kpi_not_found request_not_found hold_not_found
    """,
    413: "payload_too_large",
    500: "unexpected_error",
    501: "not_implemented",
}


def test_every_code_of_the_contract_has_its_status() -> None:
    assert {code: status for status, codes in BY_STATUS.items() for code in codes.split()} == STATUS


def test_an_error_makes_the_envelope() -> None:
    error = ContractError("limit_not_found", "limit_id: 'x' is unknown")

    assert envelope(error) == {
        "statusCode": 404,
        "message": "limit_id: 'x' is unknown",
        "xproxy_error": {"code": "limit_not_found", "message": "limit_id: 'x' is unknown"},
    }


def test_a_code_that_is_not_in_the_contract_can_not_be_answered() -> None:
    with pytest.raises(KeyError):
        ContractError("made_up", "no")
