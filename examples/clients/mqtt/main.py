"""An MQTT device that counts aloud and hears its orders, whatever becomes of its sessions.

Environment: NAMESPACE, SERVICE_ACCOUNT, MQTT_URL (mqtt://host:1883), TOKEN_FILE. Python 3.11 or later and paho-mqtt.
"""

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

NAMESPACE, SERVICE_ACCOUNT = os.environ["NAMESPACE"], os.environ["SERVICE_ACCOUNT"]
MQTT_URL = urlsplit(os.environ.get("MQTT_URL", "mqtt://nats.nats-system.svc.cluster.local:1883"))
TOKEN_FILE = Path(os.environ.get("TOKEN_FILE", "/var/run/secrets/nats/token"))
# The subjects shop.numbers.web and shop.orders.web: a slash for each dot.
NUMBERS, ORDERS = f"{NAMESPACE}/numbers/{SERVICE_ACCOUNT}", f"{NAMESPACE}/orders/{SERVICE_ACCOUNT}"


def log_in(client: mqtt.Client, _: object) -> None:
    # Called before each connect, so that a rotated token counts. The password is the token; the user name is never
    # looked at, and must not be empty. A file that cannot be read is a login that is refused, and tried again.
    try:
        token = TOKEN_FILE.read_text().strip()
    except OSError:
        token = ""
    client.username_pw_set(SERVICE_ACCOUNT, token)


def connected(client: mqtt.Client, _: object, __: mqtt.ConnectFlags, reason: mqtt.ReasonCode, ___: object) -> None:
    print("refused" if reason.is_failure else "connected", flush=True)
    if not reason.is_failure:
        client.subscribe(ORDERS, qos=1)


def order(_: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
    print("order", message.payload.decode(), flush=True)


# The server ends an older connection of the same id, so a pod takes its own name, not its ServiceAccount's.
device = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=socket.gethostname(), protocol=mqtt.MQTTv311)
device.on_pre_connect, device.on_connect, device.on_message = log_in, connected, order
device.reconnect_delay_set(min_delay=1, max_delay=4)
device.connect_async(MQTT_URL.hostname or "", MQTT_URL.port or 1883, keepalive=20)
stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
device.loop_start()
number = 0
while not stopping.wait(0.1):
    number += 1
    if device.is_connected():
        device.publish(NUMBERS, str(number), qos=1)
device.disconnect()
device.loop_stop()
sys.exit(0)
