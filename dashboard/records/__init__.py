"""What the queries answer with: plain records, of which every number is as stored."""
