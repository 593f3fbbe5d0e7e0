"""Who looks on, what they may see, and what they say."""
