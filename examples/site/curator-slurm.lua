-- Module file for Lmod. Install it under the version that it loads, such as curator-slurm/0.1.0.lua in a folder of
-- MODULEPATH; the version in its name is that of the installation below `base`.

local base = "/opt/curator-slurm"

local version = myModuleVersion()
local root = pathJoin(base, version)

help([[
curator-slurm runs data-curation pipelines on Ray clusters inside Slurm jobs.
`curator-slurm --help` lists the commands, `curator-slurm site show` what this cluster's site file says.
]])
whatis("Name: curator-slurm")
whatis("Version: " .. version)
whatis("Description: data-curation pipelines as Ray clusters inside Slurm jobs")

conflict("curator-slurm")

if (mode() == "load" and not isFile(pathJoin(root, "bin/curator-slurm"))) then
   LmodError("curator-slurm ", version, " is not installed in ", root)
end

-- This folder has the command alone: `python` stays that of the user.
prepend_path("PATH", pathJoin(root, "command"))
local site = pathJoin(root, "site.yaml")
if (isFile(site)) then
   setenv("CURATOR_SLURM_SITE", site)
end
