"""The PostgreSQL store keeps every rule of the contract, on a real server."""

from typing import Any

import pytest
from contract import StoreContract


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def handles(self, postgres_handles: Any) -> Any:
        return postgres_handles
