//! Disks of the brokers: an ext4 image each, in memory, that can be filled up and can lose power.
//!
//! Power loss is ext4's shutdown ioctl (flush neither log nor data): every later call fails, and after the next
//! mount, which replays the journal, only what was synced is there (reliability.md 1.3, recipe A). The self-test
//! shows that unsynced bytes are really gone; a run without it would prove nothing. Without root, plain directories.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::process::{failed, run};

/// Of each disk. The images are sparse: they take what is written.
const DISK_BYTES: u64 = 768 << 20;
/// Of all disks together.
const MEMORY: &str = "size=3g";
const FILLER: &str = "filler";
const MIB: usize = 1 << 20;

/// Python has the one system call that safe Rust lacks: EXT4_IOC_SHUTDOWN with NOLOGFLUSH.
const SHUTDOWN: &str = "import fcntl,os,struct,sys\n\
    fcntl.ioctl(os.open(sys.argv[1],os.O_RDONLY),0x8004587d,struct.pack('I',2))";

/// One disk.
pub struct Disk {
    image: Option<PathBuf>,
    /// Where it is mounted.
    pub dir: PathBuf,
}

/// Puts a file system in memory at `dir`, for the images.
pub fn memory(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    run(Command::new("mount").args(["-t", "tmpfs", "-o", MEMORY, "ottla-chaos"]).arg(dir)).map(|_| ())
}

impl Disk {
    /// An empty disk mounted at `under/data`; with `isolated` an image.
    pub fn new(under: &Path, isolated: bool) -> io::Result<Disk> {
        let dir = under.join("data");
        fs::create_dir_all(&dir)?;
        if !isolated {
            return Ok(Disk { image: None, dir });
        }
        let image = under.join("disk.img");
        File::create(&image)?.set_len(DISK_BYTES)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-J", "size=16"]).arg(&image))?;
        let disk = Disk { image: Some(image), dir };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> io::Result<()> {
        let image = self.image.as_ref().ok_or_else(|| failed("this disk is a directory"))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&self.dir)).map(|_| ())
    }

    /// Takes the power away: from now on every call fails.
    pub fn power_off(&self) -> io::Result<()> {
        if self.image.is_none() {
            return Err(failed("without root a disk cannot lose power"));
        }
        run(Command::new("python3").args(["-c", SHUTDOWN]).arg(&self.dir)).map(|_| ())
    }

    /// Gives the power back, once nobody uses the disk.
    pub fn power_on(&self) -> io::Result<()> {
        let give_up = Instant::now() + Duration::from_secs(10);
        while let Err(error) = run(Command::new("umount").arg(&self.dir)) {
            if Instant::now() > give_up {
                return Err(error);
            }
            sleep(Duration::from_millis(50));
        }
        self.mount()
    }

    /// Leaves no free byte.
    pub fn fill(&self) -> io::Result<()> {
        if self.image.is_none() {
            return Err(failed("without root a disk is a directory, which cannot be filled up"));
        }
        let mut file = File::create(self.dir.join(FILLER))?;
        let free = statvfs(&self.dir)?;
        // Most of it at once; what brokers write meanwhile is theirs.
        let most = (free.f_bavail * free.f_bsize).saturating_sub(8 * MIB as u64);
        if most > 0 {
            fallocate(&file, FallocateFlags::empty(), 0, most)?;
            file.seek(SeekFrom::End(0))?;
        }
        for block in [MIB, 4096, 1] {
            let zeros = vec![0; block];
            loop {
                match file.write_all(&zeros) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Takes the filler away.
    pub fn free(&self) -> io::Result<()> {
        fs::remove_file(self.dir.join(FILLER))
    }
}

/// Shows on a disk of its own under `dir` that synced bytes survive and others do not.
pub fn self_test(dir: &Path) -> io::Result<()> {
    let under = dir.join("self-test");
    let disk = Disk::new(&under, true)?;
    let path = disk.dir.join("file");
    let mut file = File::create(&path)?;
    file.write_all(&[1; MIB])?;
    file.sync_all()?;
    File::open(&disk.dir)?.sync_all()?;
    file.write_all(&[2; MIB])?;
    fs::write(disk.dir.join("unsynced"), [3; 4096])?;
    disk.power_off()?;
    let refused = file.write_all(&[4]).is_err();
    drop(file);
    disk.power_on()?;
    let kept = fs::read(&path)?;
    let lost = kept.len() < 2 * MIB && !disk.dir.join("unsynced").exists();
    let whole = kept.len() >= MIB && kept[..MIB].iter().all(|byte| *byte == 1);
    run(Command::new("umount").arg(&disk.dir))?;
    match (refused, lost, whole) {
        (true, true, true) => Ok(()),
        told => Err(failed(format!("power loss is not emulated here: refused, lost, whole = {told:?}"))),
    }
}
