"""hub_repos and hub_search: repositories on the Hugging Face Hub."""
