"""The dashboard: thin Streamlit pages over a bundle that the pipeline published."""
