import stripe
from probe import env, raised, report


def at(key, base, **more):
    return stripe.StripeClient(key, base_addresses={"api": base}, **more)


client = at(env("STRIPE_API_KEY"), env("STRIPE_API_BASE"))
customer = {"email": "ada@example.com", "metadata": {"plan": "gold & more"}}
once = {"idempotency_key": "order-7"}


def status(error):
    return error.http_status


def param(error):
    return error.param


refused = at(env("BAD_KEY"), env("STRIPE_API_BASE"))
down = at(env("STRIPE_API_KEY"), env("DOWN_URL"), max_network_retries=0)
report(
    version=stripe.VERSION,
    plain=client.v1.customers.create(customer).id,
    twice=[client.v1.customers.create(customer, once).id for _ in range(2)],
    pages=[found.id for found in client.v1.customers.list({"limit": 1}).auto_paging_iter()],
    error=raised(lambda: client.v1.customers.create({"email": "nonsense"}), status=status, param=param),
    refused=raised(lambda: refused.v1.customers.create(customer), status=status),
    down=raised(lambda: down.v1.customers.create(customer), status=status),
)
