"""A neighbour in the network: looks for words in everything that passes the cluster's bridge.

Run as a program inside the network's namespace (`SlurmCluster.capture`): reads the words from a line of JSON on its
standard input, says that it listens, and prints how often it has seen each when its input ends.
"""

import json
import select
import socket
import sys

_ALL = 0x0003
_SO_RCVBUFFORCE = 33
_PACKET_STATISTICS = 6
_SOL_PACKET = 263


def main() -> None:
    """Count until the input ends."""
    words = {word: word.encode() for word in json.loads(sys.stdin.readline())}
    seen = dict.fromkeys(words, 0)
    frames = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) as tap:
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        tap.setblocking(False)
        print("listening", flush=True)
        ended = False
        while True:
            ready, _, _ = select.select([tap] if ended else [tap, sys.stdin], [], [], 0 if ended else None)
            ended = ended or sys.stdin in ready
            if tap in ready:
                frame = tap.recv(1 << 17)
                frames += 1
                for word, needle in words.items():
                    seen[word] += needle in frame
            elif ended:
                break
        dropped = int.from_bytes(tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)[4:], sys.byteorder)
    print(json.dumps({"seen": seen, "frames": frames, "dropped": dropped}))


if __name__ == "__main__":
    main()
