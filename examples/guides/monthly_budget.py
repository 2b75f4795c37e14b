"""Creating a monthly budget limit, from the limits guide.

PAYI_BASE_URL=sqlite:///guides.db .venv/bin/python examples/guides/monthly_budget.py
"""

from payi_instrument import Payi
from dotenv import load_dotenv
load_dotenv()
payi = Payi()
limit_id = "monthly_allow_budget"
# Create a monthly budget limit with "allow" type for use-case level tracking
response = payi.limits.create(
    limit_name="Monthly Budget",
    limit_id=limit_id,
    max=100.0,
    limit_type="allow",
    threshold=0.80
)
