package org.nanodo.distributed;

import java.util.HashMap;
import java.util.Map;

/**
 * The rank of this process and the address of its run, from torchrun's environment variables, otherwise from Open MPI's or
 * Slurm's. Without any of them the process is a run of one rank.
 *
 * @param agentStore whether the launcher rather than rank 0 keeps the store at the address
 * @param run the launcher's name for the run, possibly empty
 * @param attempt how often the launcher has restarted the run
 */
record LaunchEnvironment(
        int rank, int world, int localRank, String address, int port, boolean agentStore, String run, int attempt) {
    private static final int LARGEST_WORLD = 1 << 20;

    static LaunchEnvironment by(Map<String, String> environment) {
        Map<String, String> variables = asTorchrun(environment);
        if (variables.containsKey("RANK") != variables.containsKey("WORLD_SIZE")) {
            throw new IllegalArgumentException(
                    "One of RANK and WORLD_SIZE is set without the other: a launcher sets both, a single process neither");
        }
        variables.putIfAbsent("WORLD_SIZE", "1");
        variables.putIfAbsent("RANK", "0");
        int world = number(variables, "WORLD_SIZE", 1, LARGEST_WORLD);
        if (world == 1) {
            variables.putIfAbsent("MASTER_ADDR", "127.0.0.1");
        }
        if (variables.getOrDefault("MASTER_ADDR", "").isBlank()) {
            throw new IllegalArgumentException("MASTER_ADDR is not set: " + world
                    + " ranks meet at the host name or address of the machine that runs rank 0");
        }
        variables.putIfAbsent("MASTER_PORT", "29500"); // torchrun's
        variables.putIfAbsent("LOCAL_RANK", "0");
        variables.putIfAbsent("TORCHELASTIC_RESTART_COUNT", "0");
        return new LaunchEnvironment(
                number(variables, "RANK", 0, world - 1),
                world,
                number(variables, "LOCAL_RANK", 0, world - 1),
                variables.get("MASTER_ADDR"),
                number(variables, "MASTER_PORT", 1, 65535),
                Boolean.parseBoolean(variables.get("TORCHELASTIC_USE_AGENT_STORE")),
                variables.getOrDefault("TORCHELASTIC_RUN_ID", ""),
                number(variables, "TORCHELASTIC_RESTART_COUNT", 0, Integer.MAX_VALUE));
    }

    /** Open MPI comes first because mpirun also starts processes within Slurm jobs. */
    private static Map<String, String> asTorchrun(Map<String, String> environment) {
        var variables = new HashMap<>(environment);
        if (environment.containsKey("RANK") || environment.containsKey("WORLD_SIZE")) {
            return variables;
        }
        if (environment.containsKey("OMPI_COMM_WORLD_RANK")) {
            rename(variables, "OMPI_COMM_WORLD_RANK", "RANK");
            rename(variables, "OMPI_COMM_WORLD_SIZE", "WORLD_SIZE");
            rename(variables, "OMPI_COMM_WORLD_LOCAL_RANK", "LOCAL_RANK");
            rename(variables, "PMIX_NAMESPACE", "TORCHELASTIC_RUN_ID");
            String size = environment.getOrDefault("OMPI_COMM_WORLD_SIZE", "");
            if (size.equals(environment.get("OMPI_COMM_WORLD_LOCAL_SIZE"))) {
                variables.putIfAbsent("MASTER_ADDR", "127.0.0.1"); // all on one machine
            }
        } else if (environment.containsKey("SLURM_PROCID")) {
            rename(variables, "SLURM_PROCID", "RANK");
            rename(variables, "SLURM_NTASKS", "WORLD_SIZE");
            rename(variables, "SLURM_STEP_NUM_TASKS", "WORLD_SIZE");
            rename(variables, "SLURM_LOCALID", "LOCAL_RANK");
            rename(variables, "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID");
            String nodes = environment.getOrDefault("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST"));
            if (nodes != null) {
                variables.putIfAbsent("MASTER_ADDR", firstHost(nodes));
            }
            String job = environment.getOrDefault("SLURM_JOB_ID", "");
            if (job.matches("\\d{1,18}")) {
                variables.putIfAbsent("MASTER_PORT", String.valueOf(20_000 + Long.parseLong(job) % 10_000));
            }
        }
        return variables;
    }

    private static void rename(Map<String, String> variables, String theirs, String ours) {
        if (variables.containsKey(theirs)) {
            variables.put(ours, variables.get(theirs));
        }
    }

    /** Returns the first host of a list: node03 of "node[03-07,9],other". */
    private static String firstHost(String nodes) {
        return nodes.replaceFirst("^([^\\[,]*)(?:\\[([^\\],-]*))?.*$", "$1$2");
    }

    private static int number(Map<String, String> variables, String name, int least, int most) {
        String value = variables.get(name).trim();
        if (!value.matches("\\d{1,9}") || Integer.parseInt(value) < least || Integer.parseInt(value) > most) {
            throw new IllegalArgumentException(
                    name + " is \"" + value + "\": it must be a number from " + least + " to " + most);
        }
        return Integer.parseInt(value);
    }
}
