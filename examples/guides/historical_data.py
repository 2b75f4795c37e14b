"""Setting start_timestamp for historical data, from the categories and resources guide.

PAYI_BASE_URL=sqlite:///guides.db .venv/bin/python examples/guides/historical_data.py
"""

from payi_instrument import Payi

client = Payi()

# To allow tracking historical data from January 1, 2024 onward:
client.categories.resources.create(
    category="custom.my_company",
    resource="proprietary-llm-v1",
    units={"text": {"input_price": 0.0001, "output_price": 0.0005}},
    # Make the resource valid from before your oldest events
    start_timestamp="2024-01-01T00:00:00Z"  # Valid from Jan 1, 2024
)
