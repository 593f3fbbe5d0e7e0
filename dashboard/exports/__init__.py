"""Files that leave the dashboard: records in, bytes out. No streamlit, no torch, no SQL."""
