"""The scenario kit: 22 stories of calls gone wrong, played over a real adapter and judged from the other side."""
