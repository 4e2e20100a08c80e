"""Payments recorded with SQLAlchemy 2: the models' columns, their protection, and the store.

No module in here imports Flask; what an app has to do with it is in `flask_mpesa.extension`.
"""
