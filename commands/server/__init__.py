"""`ml-intern server`: the people of a team's database."""
