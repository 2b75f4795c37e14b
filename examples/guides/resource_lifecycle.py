"""Managing resource lifecycle, from the categories and resources guide.

PAYI_BASE_URL=sqlite:///guides.db .venv/bin/python examples/guides/resource_lifecycle.py
"""

from payi_instrument import Payi

client = Payi()

# Scenario: Removing deprecated or unused custom resources
deprecated_models = ["old-model-v1", "deprecated-embedding-model"]

# Method 1: Remove resources one at a time
for model in deprecated_models:
    try:
        client.categories.delete_resource(
            resource=model,              
            category="my-custom-models"  
        )
        print(f"Successfully removed {model}")
    except Exception as e:
        print(f"Could not remove {model}: {e}")

# Method 2: Alternative approach - Delete an entire category and all its resources at once
# This is more efficient when you need to remove many resources in the same category
try:
    # This deletes the entire category and all resources it contains
    client.categories.delete(category="my-custom-models")
    print("Successfully removed the entire category and all its resources")
except Exception as e:
    print(f"Could not remove category: {e}")
