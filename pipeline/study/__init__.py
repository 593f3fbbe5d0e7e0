"""The user study: people judge features, and scores are held against what they say."""
