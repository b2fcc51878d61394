"""Tells whether a directory lies on a network file system, where SQLite's locks and shared memory do not hold."""

from __future__ import annotations

from pathlib import Path

NETWORK = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "davfs2", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs",
        "nfs", "nfs4", "ocfs2", "orangefs", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs", "wekafs",
        "fuse.ceph", "fuse.cephfs", "fuse.davfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys",
        "fuse.juicefs", "fuse.mountpoint-s3", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs",
        "fuse.vmhgfs-fuse", "fuse.blobfuse", "fuse.blobfuse2", "fuse.gvfsd-fuse",
    }
)  # fmt: skip
"""File system types, as the kernel's mount table names them, that a disk store refuses."""

_TABLE = Path("/proc/self/mounts")


def network_filesystem(directory: Path, table: str | None = None) -> str | None:
    """The type of the network file system that ``directory`` lies on, or None.

    Args:
        directory: A directory that need not exist yet.
        table: The mount table's text; by default the kernel's own. Where there is none, nothing is refused.
    """
    if table is None:
        try:
            table = _TABLE.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    place = directory.resolve()
    depth, kind = -1, ""
    for line in table.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004 -- device, mount point, type
            continue
        point = Path(_plain(fields[1]))
        if (place == point or point in place.parents) and len(point.parts) >= depth:
            depth, kind = len(point.parts), fields[2]  # of two mounts on one point the later one is seen
    return kind if kind in NETWORK else None


def _plain(field: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field
