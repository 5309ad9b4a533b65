/** On how many disks a message has to be before its publisher has an answer. */

export const ACK_LEVELS = ['none', 'local', 'quorum', 'all'] as const;

/** `none`: it has a name; `local`: this broker's disk; `quorum`: of a majority of the rows; `all`: of all of them. */
export type AckLevel = (typeof ACK_LEVELS)[number];
