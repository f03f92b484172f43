#%Module1.0
# Module file for environment-modules. Install it under the version that it loads, such as curator-slurm/0.1.0 in a
# folder of MODULEPATH; the version in its name is that of the installation below `base`. Lmod reads it, too.

set base /opt/curator-slurm

set version [file tail [module-info name]]
set root $base/$version

proc ModulesHelp { } {
    puts stderr "curator-slurm runs data-curation pipelines on Ray clusters inside Slurm jobs."
    puts stderr "`curator-slurm --help` lists the commands, `curator-slurm site show` what the site file says."
}
module-whatis "data-curation pipelines as Ray clusters inside Slurm jobs"

conflict curator-slurm

if { [module-info mode load] && ![file isfile $root/bin/curator-slurm] } {
    puts stderr "curator-slurm $version is not installed in $root"
    break
}

# This folder has the command alone: `python` stays that of the user.
prepend-path PATH $root/command
if { [file isfile $root/site.yaml] } {
    setenv CURATOR_SLURM_SITE $root/site.yaml
}
