"""Talk to the world, each by one library, and hold no rule. They know neither each other nor who calls them."""
