"""Records -> Altair charts. No streamlit, no torch."""
